"""What dcc and its library have to say, as exceptions."""


class Error(Exception):
    """`code` is the dcc_status of a failed run (3: wrong shape, ...), 0 if there was none."""

    def __init__(self, text, code=0):
        super().__init__(text)
        self.code = code


class CompileError(Error):
    """dcc failed.  `status` is its exit status: 1 for a model or options that it refuses, anything else is a bug."""

    def __init__(self, text, status):
        super().__init__(text)
        self.status = status
