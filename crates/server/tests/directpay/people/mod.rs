//! People's accounts: passwords, addresses, second factors, and the mail about them.

mod email;
mod mail;
mod password;
mod second_factor;
