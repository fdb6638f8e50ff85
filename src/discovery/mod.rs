//! How a viewer finds this machine: which address to print, and the QR code to scan.

pub mod address;
pub mod qr;
