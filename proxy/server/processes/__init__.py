"""The processes of one `tollgate serve` beside its supervisor: forked by a template, watched and replaced."""
