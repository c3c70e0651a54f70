//! The one door to XML: quick-xml's serde with fixed options.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a value did not become XML, or the other way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XmlError {
    /// The value has no XML form.
    #[error("writing XML")]
    Write(#[from] quick_xml::SeError),
    /// The text is not the XML that was expected.
    #[error("reading XML")]
    Read(#[from] quick_xml::DeError),
}

/// Writes a value as an indented document whose root element is `root`. Fields that begin with `@` are attributes,
/// `$text` is text, `$value` a list of elements of different names.
pub fn to_string<T: Serialize>(root: &str, value: &T) -> Result<String, XmlError> {
    let mut text = String::new();
    let mut serializer = quick_xml::se::Serializer::with_root(&mut text, Some(root))?;
    serializer.indent(' ', 2);
    value.serialize(serializer)?;
    text.push('\n');
    Ok(text)
}

/// Reads the named fields of a document; elements without a field are passed over.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, XmlError> {
    Ok(quick_xml::de::from_str(text)?)
}
