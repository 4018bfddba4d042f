//! A strict reader of JSON (RFC 8259) for headers that may be hostile, and the string writer.
//!
//! Nothing is accepted that the grammar does not allow; keys of an object must differ; nesting
//! is limited to [`DEPTH`] levels. Time is `O(n log n)` and memory at most a few dozen times the text.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// Deepest nesting that is read.
pub(crate) const DEPTH: usize = 16;

/// A JSON value that borrows from its text where it can.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// The number's text; [`Value::number`] and [`Value::float`] interpret it.
    Number(&'a str),
    String(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    Object(BTreeMap<Cow<'a, str>, Value<'a>>),
}

impl<'a> Value<'a> {
    /// The field `key` of an object.
    pub(crate) fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.object()?.get(key)
    }

    pub(crate) fn object(&self) -> Option<&BTreeMap<Cow<'a, str>, Value<'a>>> {
        match self {
            Value::Object(fields) => Some(fields),
            _ => None,
        }
    }

    pub(crate) fn array(&self) -> Option<&[Value<'a>]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn string(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A count: a non-negative whole number without fraction or exponent.
    pub(crate) fn number(&self) -> Option<usize> {
        match self {
            Value::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn float(&self) -> Option<f64> {
        match self {
            Value::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

/// Where a text stops being JSON, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) offset: usize,
    pub(crate) problem: &'static str,
}

/// Reads one value that fills the whole `text` but for white space around it.
pub(crate) fn parse(text: &str) -> Result<Value<'_>, Fault> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    if reader.at < text.len() { reader.fail("text after the end of the value") } else { Ok(value) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, problem: &'static str) -> Result<T, Fault> {
        Err(Fault { offset: self.at, problem })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, problem: &'static str) -> Result<(), Fault> {
        if self.take(byte) { Ok(()) } else { self.fail(problem) }
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, Fault> {
        if depth > DEPTH {
            return self.fail("nested too deeply");
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => self.fail("no JSON value starts like this"),
            None => self.fail("the text ends where a value should stand"),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Fault> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        self.fail("no JSON value starts like this")
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, Fault> {
        self.at += 1;
        let mut fields = BTreeMap::new();
        self.space();
        if self.take(b'}') {
            return Ok(Value::Object(fields));
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            self.expect(b':', "a colon should stand here")?;
            let value = self.value(depth + 1)?;
            if fields.insert(key, value).is_some() {
                return self.fail("the object has this key twice");
            }
            self.space();
            if self.take(b'}') {
                return Ok(Value::Object(fields));
            }
            self.expect(b',', "a comma or } should stand here")?;
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, Fault> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take(b']') {
                return Ok(Value::Array(items));
            }
            self.expect(b',', "a comma or ] should stand here")?;
        }
    }

    fn digits(&mut self) -> Result<(), Fault> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.fail("a digit should stand here");
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value<'a>, Fault> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(Value::Number(&self.text[start..self.at]))
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.expect(b'"', "a string should stand here")?;
        let start = self.at;
        while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
            self.at += 1;
        }
        let plain = &self.text[start..self.at];
        if self.take(b'"') { Ok(Cow::Borrowed(plain)) } else { self.escaped(plain) }
    }

    /// The rest of a string whose beginning `plain` is followed by an escape.
    fn escaped(&mut self, plain: &str) -> Result<Cow<'a, str>, Fault> {
        let mut text = String::from(plain);
        loop {
            match self.text[self.at..].chars().next() {
                None => return self.fail("the text ends within a string"),
                Some('\0'..='\x1f') => return self.fail("a control character within a string"),
                Some('"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some('\\') => text.push(self.escape()?),
                Some(character) => {
                    self.at += character.len_utf8();
                    text.push(character);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let character = match self.text.as_bytes().get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\x08',
            Some(b'f') => '\x0c',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return self.fail("no such escape"),
        };
        self.at += 2;
        Ok(character)
    }

    fn unicode(&mut self) -> Result<char, Fault> {
        let high = self.unit()?;
        let code = match high {
            0xd800..=0xdbff => {
                let low = self.unit()?;
                if !(0xdc00..=0xdfff).contains(&low) {
                    return self.fail("half of a surrogate pair");
                }
                0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
            }
            _ => high,
        };
        char::from_u32(code).map_or_else(|| self.fail("half of a surrogate pair"), Ok)
    }

    /// One `\uXXXX`.
    fn unit(&mut self) -> Result<u32, Fault> {
        let digits = self.text.as_bytes().get(self.at..self.at + 6);
        let digits = digits.and_then(|d| d.strip_prefix(b"\\u"));
        let Some(digits) = digits.filter(|d| d.iter().all(u8::is_ascii_hexdigit)) else {
            return self.fail("\\u and four hexadecimal digits should stand here");
        };
        self.at += 6;
        Ok(digits.iter().fold(0, |n, d| n * 16 + (*d as char).to_digit(16).unwrap_or(0)))
    }
}

/// Appends `text` as a JSON string. The same text always gives the same bytes: only `"`, `\` and
/// control characters are escaped, as `\"`, `\\` and `\u00XX`.
#[cfg(any(feature = "pack", feature = "personal", test))]
pub(crate) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0'..='\x1f' => out.push_str(&alloc::format!("\\u{:04x}", character as u32)),
            _ => out.push(character),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn fault(text: &str) -> Fault {
        parse(text).expect_err(text)
    }

    #[test]
    fn reads_every_kind_of_value() {
        let text = r#" {"a":[null,true,false,-1.5e+3,0,"é\u00e9\ud83d\ude00\n"],"b":{}} "#;
        let value = parse(text).unwrap();
        let items = value.get("a").unwrap().array().unwrap();
        assert_eq!(items[1].bool(), Some(true));
        assert_eq!(items[3].float(), Some(-1500.0));
        assert_eq!(items[4].number(), Some(0));
        assert_eq!(items[5].string(), Some("éé😀\n"));
        assert!(value.get("b").unwrap().object().unwrap().is_empty());
    }

    #[test]
    fn refuses_what_the_grammar_does_not_allow() {
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}",
            "01",
            "1.",
            "-",
            "1e",
            "+1",
            ".5",
            "nul",
            "NaN",
            "'a'",
            "\"a",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\n\"",
            "\"\\n\t\"",
            "1 2",
            "[1 2]",
            "{}x",
            "\"\\u12",
        ] {
            fault(text);
        }
    }

    #[test]
    fn refuses_a_key_that_comes_twice() {
        assert_eq!(fault(r#"{"a":1,"a":2}"#).problem, "the object has this key twice");
        assert_eq!(fault(r#"{"a":1,"\u0061":2}"#).problem, "the object has this key twice");
    }

    #[test]
    fn refuses_deep_nesting_without_using_the_stack_up() {
        let text = "[".repeat(1_000_000);
        assert_eq!(fault(&text).problem, "nested too deeply");
    }

    #[test]
    fn a_written_string_reads_back() {
        let text = "a\"b\\c\n\u{1}é😀/";
        let mut out = String::new();
        write_string(&mut out, text);
        assert_eq!(parse(&out).unwrap(), Value::String(Cow::Owned(text.to_string())));
    }

    #[test]
    fn counts_are_whole_and_fit() {
        for text in ["-1", "1.0", "1e3", "99999999999999999999999"] {
            assert_eq!(parse(text).unwrap().number(), None, "{text}");
        }
    }
}
