"""Developers, the people behind apps: identities, memberships, invitations, sessions, sign-in links, nonces in Redis.

    tollgate:developers                          set of developer ids
    tollgate:developer:{<developer_id>}          DeveloperRecord
    tollgate:wallet:{<address>}                  developer id
    tollgate:subject:{<hash>}                    developer id, by SHA-256 of issuer and subject
    tollgate:developer-email:{<hash>}            developer id, by SHA-256 of the e-mail address it was added by
    tollgate:developer-apps:{<developer_id>}     set of client ids
    tollgate:app-members:{<client_id>}           set of developer ids
    tollgate:member:{<client_id>}:<developer_id> MembershipRecord
    tollgate:invites                             set of invite ids
    tollgate:invite:{<invite_id>}                InviteRecord; expires with it
    tollgate:session:{<session_id>}              SessionRecord; expires with it
    tollgate:session-used:{<session_id>}         Unix seconds of its last use; expires when it was idle for too long
    tollgate:sign-in-link:{<link_id>}            SignInLinkRecord; expires with it
    tollgate:view-link:{<link_id>}               ViewLinkRecord; expires with it
    tollgate:app-view-links:{<client_id>}        sorted set: link id by the time of its end, in Unix milliseconds
    tollgate:developer-sessions:{<developer_id>} sorted set: session id by the time of its end, in Unix milliseconds
    tollgate:sign-ups:{<day>}                    number of developers that signed up themselves on a UTC day
    tollgate:{nonces}:...                        nonces that were not used yet, in one slot: `lua/issue_nonce.lua`

As everywhere in `proxy.control.records`, an index entry is written before its record and may name one that is missing.
"""
