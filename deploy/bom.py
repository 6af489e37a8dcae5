from deploy.model import Attachment

TYPES = ("application/vnd.cyclonedx+json", "application/spdx+json")


def make(archive, image):
    return tuple(Attachment(t, t, b'{"t":"%s"}' % t.encode()) for t in TYPES)
