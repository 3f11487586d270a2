//! The thread's word in TLS, by a name of our own: how it is found is in the files beside this one.

use crate::local::EMPTY;
use core::arch::global_asm;

global_asm!(
    ".pushsection .tdata.polder_local,\"awT\",@progbits",
    ".p2align 3",
    ".globl polder_local",
    ".hidden polder_local",
    ".type polder_local,@object",
    ".size polder_local,8",
    "polder_local:",
    ".quad {empty}",
    ".popsection",
    empty = sym EMPTY,
);
