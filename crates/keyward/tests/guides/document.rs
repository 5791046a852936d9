//! Reading a published guide: its fenced blocks and its tables, wherever and however they are indented (tabs of MkDocs,
//! `<CodeGroup>` of Mintlify), so that what is run is what stands there.

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The line of its opening fence, from 1.
    pub line: usize,
    /// The first word behind the fence; empty if there is none.
    pub language: String,
    /// Its content, without the fence's own indentation.
    pub text: String,
}

/// Every fenced block, in order. A fence that is never closed is a mistake here and not a block.
pub fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(Block, usize)> = None;
    for (at, line) in markdown.lines().enumerate() {
        let indentation = line.len() - line.trim_start().len();
        match open.take() {
            None => {
                if let Some(info) = line.trim_start().strip_prefix("```") {
                    let language = info.split_whitespace().next().unwrap_or_default().to_owned();
                    open =
                        Some((Block { line: at + 1, language, text: String::new() }, indentation));
                }
            }
            Some((block, _)) if line.trim() == "```" => blocks.push(block),
            Some((mut block, fence)) => {
                block.text += &line[fence.min(indentation)..];
                block.text.push('\n');
                open = Some((block, fence));
            }
        }
    }
    assert!(open.is_none(), "a fence that nothing closes: {open:?}");
    blocks
}

/// The cells of every row of the table whose head has these cells, without head and rule.
pub fn table(markdown: &str, head: &[&str]) -> Vec<Vec<String>> {
    let mut rows = markdown.lines().map(cells).skip_while(|row| row != head);
    assert!(rows.next().is_some(), "no table with the columns {head:?}");
    rows.skip(1).take_while(|row| row.len() == head.len()).collect()
}

fn cells(line: &str) -> Vec<String> {
    let inside = line.trim().strip_prefix('|').and_then(|rest| rest.strip_suffix('|'));
    let cells = inside.map(|inside| inside.split('|').map(|cell| cell.trim().to_owned()));
    cells.map(Iterator::collect).unwrap_or_default()
}

/// Text without the marks of code and emphasis.
pub fn plain(text: &str) -> String {
    text.replace(['`', '*'], "")
}

#[test]
fn blocks_are_found_at_every_indentation_and_with_attributes() {
    let text = "```bash\na\n```\n=== \"Tab\"\n    ```python\n    b\n    \n      c\n    ```\n  ```js Title x={null}\n  d\n  ```\n\n```\ne\n```";
    let found: Vec<_> = blocks(text).into_iter().map(|b| (b.line, b.language, b.text)).collect();
    let expected =
        [(1, "bash", "a\n"), (5, "python", "b\n\n  c\n"), (10, "js", "d\n"), (14, "", "e\n")];
    assert_eq!(found, expected.map(|(line, language, text)| (line, language.into(), text.into())));
}

#[test]
fn a_table_is_found_by_its_columns() {
    let text = "x\n| A | B |\n| --- | --- |\n| `1` | **two** |\n| 3 |  |\n\n| 5 | 6 |";
    assert_eq!(table(text, &["A", "B"]), [["`1`", "**two**"], ["3", ""]]);
    assert_eq!(plain("**two** `x`"), "two x");
}
