// Package operator is who runs the network and what they did: operators with their
// roles, how they sign in and the tokens they carry (Service), who acts in a
// request (Actor), the log of what they changed (AuditEntry), the events that
// other systems hear of (Event, Outbox, Webhook), and repeated requests
// (IdempotencyKey).
//
// Passwords are hashed with argon2id (RFC 9106), second factors are TOTP (RFC 6238)
// and recovery codes, access tokens are JWTs signed with EdDSA (RFC 9068, RFC 8037),
// refresh tokens rotate and are revoked as a family when one is used twice (RFC 9700
// section 4.14).
//
// It declares small interfaces for what it needs of a database; package store
// implements them.
package operator
