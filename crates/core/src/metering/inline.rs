//! What in a request's body is read as something else than text: images, and references to what stands elsewhere. No tokenizer sees
//! their bytes, so each counts as a flat number of tokens.
//!
//! Where they may stand is the profile's to say, and that an image is one, the body's: the kind beside it, or a `data:` URL's own. All
//! else counts by its bytes, however much it looks like Base64: text that is written without spaces is still text. So do files that
//! are no images, for no flat number bounds what is read of them.

use smallvec::SmallVec;

/// What one body holds of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Inline {
    /// How many there are.
    pub(super) count: u64,
    /// Bytes of those that are images.
    pub(super) bytes: usize,
    /// The object that is being read, for each place.
    open: SmallVec<[Open; 4]>,
}

/// What one object says at a place.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    data: Option<Data>,
    /// The kind that stands beside it is an image's.
    is_image: bool,
    in_doubt: bool,
}

#[derive(Clone, Copy, Debug)]
struct Data {
    bytes: usize,
    form: Form,
}

/// How something may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `data:image/…`
    ImageUrl,
    /// Another `data:` URL.
    OtherUrl,
    Other,
}

impl Inline {
    fn open(&mut self, place: u8) -> Option<&mut Open> {
        let place = usize::from(place);
        if self.open.len() <= place {
            self.open.resize(place + 1, Open::default());
        }
        self.open.get_mut(place)
    }

    /// This text stands at a place.
    pub(super) fn data(&mut self, place: u8, text: &str) {
        let form = match text {
            _ if text.starts_with("data:image/") => Form::ImageUrl,
            _ if text.starts_with("data:") => Form::OtherUrl,
            _ => Form::Other,
        };
        if let Some(open) = self.open(place) {
            open.data = Some(Data { bytes: text.len(), form });
        }
    }

    /// This text says of which kind it is.
    pub(super) fn kind(&mut self, place: u8, text: &str) {
        if let Some(open) = self.open(place) {
            open.is_image = text.starts_with("image/");
        }
    }

    /// Readers could disagree on what stands there.
    pub(super) fn doubt(&mut self, place: u8) {
        if let Some(open) = self.open(place) {
            open.in_doubt = true;
        }
    }

    /// The object has ended that the place is in.
    pub(super) fn ends(&mut self, place: u8, has_kind: bool) {
        let open = self.open.get_mut(usize::from(place));
        let Some(open) = open.map(std::mem::take) else { return };
        let Some(Data { bytes, form }) = open.data else { return };
        let is_image = if has_kind { open.is_image } else { form == Form::ImageUrl };
        let is_reference = !has_kind && form == Form::Other;
        self.count += u64::from(is_image || is_reference);
        if is_image && !open.in_doubt {
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }
}
