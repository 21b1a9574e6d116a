//! What holds a secret can be neither printed, compared nor serialised (ASVS 5.0, 16.2.5): if one
//! of these lines fails, this file does not compile.

use std::fmt::{Debug, Display};

use hashes::{Password, PasswordHash, Pool};
use serde::{Deserialize, Serialize};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use zeroize::ZeroizeOnDrop;

assert_not_impl_any!(Password: Debug, Display, Serialize, Deserialize<'static>, PartialEq, Clone);
assert_not_impl_any!(PasswordHash: Debug, Display, Serialize, Deserialize<'static>, PartialEq);
assert_not_impl_any!(Pool: Debug);
assert_impl_all!(Password: ZeroizeOnDrop, Send, Sync);
assert_impl_all!(PasswordHash: ZeroizeOnDrop, Send, Sync);
assert_impl_all!(Pool: Clone, Send, Sync);

#[test]
fn secrets_are_held_by_types_that_tell_nothing() {
    // The lines above are the test; this one shows that the file was compiled.
}
