//! Enums whose values are known by name, on the wire and in the database.

/// Gives an enum `ALL`, `name`, `parse` (in any case, else `unknown`) and `Display`.
macro_rules! names {
    ($name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        impl $name {
            /// Every value.
            pub const ALL: [$name; [$($text),+].len()] = [$($name::$variant),+];

            /// The name on the wire and in the database.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }

            /// Reads a name in any case; anything else is `unknown`.
            pub fn parse(text: &str) -> Result<$name, $crate::invalid::Invalid> {
                $name::ALL.into_iter().find(|value| value.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
                    $crate::invalid::Invalid::new("unknown", concat!("must be one of", $(" ", $text),+))
                })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pub(crate) use names;
