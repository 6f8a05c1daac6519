import missing_library


def time_missing():
    missing_library.work()
