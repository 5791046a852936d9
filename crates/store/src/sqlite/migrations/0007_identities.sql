-- Accounts elsewhere by which people log in (OpenID Connect): the issuer's name for somebody, which never changes, and who that is here.

CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user BLOB NOT NULL REFERENCES users (id),
    created_at INTEGER NOT NULL,
    UNIQUE (issuer, subject),
    -- An address that an issuer gave to somebody else opens nothing: a person has one account there.
    UNIQUE (user, issuer)
) STRICT;

-- Whether somebody showed that they read what is sent to their address: by a token that was sent there, or by an issuer's word.
ALTER TABLE users ADD COLUMN email_proven INTEGER NOT NULL DEFAULT 0 CHECK (email_proven IN (0, 1));
UPDATE users SET email_proven = 1
    WHERE operator = 1 OR email IN (SELECT email FROM invitations WHERE state = 'accepted');
