//! Enums that are words.

/// Words that another program writes, or that this one writes for another: an enum with the word of each
/// variant, read and written as the word alone. One that is not known is kept as it was written, so
/// that what a newer program has written is read, passed on, and never taken for something else.
macro_rules! words {
    (
        $(#[$meta:meta])*
        $name:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $text:literal $(| $alias:literal)*, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )*
            /// A word that this crate does not know, as it was written.
            Unrecognised(String),
        }

        impl $name {
            /// All that are known.
            pub const KNOWN: &[Self] = &[$( Self::$variant, )*];

            /// The variant of that word.
            #[must_use]
            pub fn parse(text: &str) -> Self {
                match text {
                    $( $text $(| $alias)* => Self::$variant, )*
                    other => Self::Unrecognised(other.to_owned()),
                }
            }

            /// Its word; where there are several, that of DRBD 9.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$variant => $text, )*
                    Self::Unrecognised(text) => text,
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(state: $name) -> Self {
                state.as_str().to_owned()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        #[cfg(test)]
        impl $name {
            /// Every name that is known, aliases too.
            pub(crate) const NAMES: &[&str] = &[$( $text, $($alias,)* )*];
        }
    };
}

pub(crate) use words;
