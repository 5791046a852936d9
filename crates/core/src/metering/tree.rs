//! The pointers of a profile as one tree of names, so that a scanner follows all of them at once.

use std::fmt;

/// Values that pointers want, at most.
pub(super) const MOST_SLOTS: usize = 24;
/// Containers on the way to a value, at most.
pub(super) const MOST_DEPTH: usize = 8;
/// Bytes of a member's name, at most.
pub(super) const LONGEST_NAME: usize = 48;

/// Where a value stands: a JSON pointer (RFC 6901) in which `*` stands for every element of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    segments: Vec<Box<str>>,
}

/// The text is not such a pointer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` does not point at a value: write it like `/usage/input_tokens`, in at most {MOST_DEPTH} plain names, `*` for each \
     element of an array"
)]
pub(crate) struct NotAPath(String);

impl std::str::FromStr for Path {
    type Err = NotAPath;

    fn from_str(text: &str) -> Result<Self, NotAPath> {
        let wrong = || NotAPath(text.to_owned());
        let rest = text.strip_prefix('/').ok_or_else(wrong)?;
        let segments: Vec<Box<str>> = rest
            .split('/')
            .map(|segment| segment.replace("~1", "/").replace("~0", "~").into())
            .collect();
        // Names are compared byte by byte, before escapes in others are looked at.
        let fits = |name: &str| (1..=LONGEST_NAME).contains(&name.len()) && name.is_ascii();
        // An answer is an object, or a list of them: `/*` would be the answer's elements.
        let begins = segments.first().is_some_and(|first| **first != *"*");
        if begins && segments.len() <= MOST_DEPTH && segments.iter().all(|name| fits(name)) {
            return Ok(Self { segments });
        }
        Err(wrong())
    }
}

impl Path {
    /// The names on the way, from the outside in.
    pub(super) fn segments(&self) -> &[Box<str>] {
        &self.segments
    }

    /// The path of another member of the same object.
    pub(super) fn beside(&self, name: &str) -> Self {
        let mut beside = self.clone();
        if let Some(last) = beside.segments.last_mut() {
            *last = name.into();
        }
        beside
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments
            .iter()
            .try_for_each(|s| write!(f, "/{}", s.replace('~', "~0").replace('/', "~1")))
    }
}

/// A place in the tree; [`NOWHERE`] is none.
pub(super) type Place = u16;
pub(super) const ROOT: Place = 0;
pub(super) const NOWHERE: Place = Place::MAX;

/// What is wanted of the value at a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// A whole number, put into this slot.
    pub(super) number: Option<u8>,
    /// That it is there at all: a mark of this number.
    pub(super) presence: Option<u8>,
    /// How long a text is.
    pub(super) text: bool,
}

#[derive(Clone, Debug)]
struct Node {
    members: Vec<(Box<str>, Place)>,
    each: Place,
    wanted: Wanted,
}

impl Node {
    const fn new() -> Self {
        let wanted = Wanted { number: None, presence: None, text: false };
        Self { members: Vec::new(), each: NOWHERE, wanted }
    }
}

/// The tree.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    slots: u8,
    marks: u8,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![Node::new()], slots: 0, marks: 0 }
    }
}

impl Tree {
    fn grow(&mut self, path: &Path) -> Option<&mut Wanted> {
        let mut place = usize::from(ROOT);
        for segment in &path.segments {
            let next = Place::try_from(self.nodes.len()).ok().filter(|next| *next != NOWHERE)?;
            let node = self.nodes.get_mut(place)?;
            let known = match &**segment {
                "*" => Some(node.each).filter(|each| *each != NOWHERE),
                name => node.members.iter().find(|(own, _)| **own == *name).map(|(_, at)| *at),
            };
            place = usize::from(match known {
                Some(known) => known,
                None => {
                    match &**segment {
                        "*" => node.each = next,
                        name => node.members.push((name.into(), next)),
                    }
                    self.nodes.push(Node::new());
                    next
                }
            });
        }
        self.nodes.get_mut(place).map(|node| &mut node.wanted)
    }

    /// A slot for the number at this path; `None` where there are no more.
    pub(super) fn number(&mut self, path: &Path) -> Option<u8> {
        let next = self.slots;
        let wanted = self.grow(path)?;
        let slot = *wanted.number.get_or_insert(next);
        if slot == next {
            self.slots = next.checked_add(1).filter(|slots| usize::from(*slots) <= MOST_SLOTS)?;
        }
        Some(slot)
    }

    /// A mark that is set where anything stands at this path.
    pub(super) fn presence(&mut self, path: &Path) -> Option<u8> {
        let next = self.marks;
        *self.grow(path)?.presence.get_or_insert(next) = next;
        self.marks = next.checked_add(1).filter(|marks| *marks <= 32)?;
        Some(next)
    }

    /// The length of the text at this path is wanted.
    pub(super) fn text(&mut self, path: &Path) -> Option<()> {
        self.grow(path)?.text = true;
        Some(())
    }

    fn node(&self, place: Place) -> Option<&Node> {
        self.nodes.get(usize::from(place))
    }

    /// The place of an object's member.
    pub(super) fn member(&self, place: Place, name: &[u8]) -> Place {
        let members = self.node(place).map_or(&[][..], |node| &node.members);
        let found = members.iter().find(|(own, _)| own.as_bytes() == name);
        found.map_or(NOWHERE, |(_, place)| *place)
    }

    /// Whether a pointer leads through an object here.
    pub(super) fn has_members(&self, place: Place) -> bool {
        self.node(place).is_some_and(|node| !node.members.is_empty())
    }

    /// The place of an array's elements.
    pub(super) fn each(&self, place: Place) -> Place {
        self.node(place).map_or(NOWHERE, |node| node.each)
    }

    /// What is wanted here.
    pub(super) fn wanted(&self, place: Place) -> Wanted {
        self.node(place).map_or(Wanted::default(), |node| node.wanted)
    }
}
