//! Pacemaker's status as typed values, read from its XML.
