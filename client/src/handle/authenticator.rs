//! Extended authentication (5.0, section 4.12): the application's part of an exchange like SCRAM or a token's renewal.

use std::error::Error;

/// Why an exchange cannot go on.
pub type AuthenticationError = Box<dyn Error + Send + Sync>;

/// One method of authentication, for one client. Each connection begins with [`begin`](Authenticator::begin).
pub trait Authenticator: Send + 'static {
    /// The name of the method, the same for the client's life.
    fn method(&self) -> &str;

    /// The data of CONNECT, or of a re-authentication.
    ///
    /// # Errors
    /// Of a connection: the client ends with them. Of a re-authentication: the call fails with
    /// [`Refusal::Authentication`](crate::Refusal::Authentication), and the connection goes on.
    fn begin(&mut self) -> Result<Vec<u8>, AuthenticationError>;

    /// The server's challenge, and the answer to it.
    ///
    /// # Errors
    /// The client ends with them.
    fn challenged(&mut self, data: &[u8]) -> Result<Vec<u8>, AuthenticationError>;

    /// The server has accepted; `data` is its last word, for a method in which it proves itself, too.
    ///
    /// # Errors
    /// The client ends with them.
    fn accepted(&mut self, data: &[u8]) -> Result<(), AuthenticationError> {
        let _ = data;
        Ok(())
    }
}
