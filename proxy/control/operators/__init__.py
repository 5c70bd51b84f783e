"""Operators, who run this deployment: their keys, sign-in links and sessions in the portal, in Redis.

tollgate:operators                           set of operator ids
tollgate:operator:{<operator_id>}            OperatorRecord
tollgate:operator-link:{<link_id>}           OperatorLinkRecord; expires with it
tollgate:operator-session:{<session_id>}     OperatorSessionRecord; expires with it
tollgate:operator-sessions:{<operator_id>}   sorted set: session id by the time of its end, in Unix milliseconds
tollgate:session-used:{<session_id>}         Unix seconds of its last use; expires when it was idle for too long
"""
