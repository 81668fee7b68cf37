"""Runs one of Swift's servers, or makes the rings that tell them where the others are, with all its files in one directory.

    swift-server.py PARENT DIRECTORY rings OBJECT_PORT CONTAINER_PORT ACCOUNT_PORT
    swift-server.py PARENT DIRECTORY memcached PORT USER
    swift-server.py PARENT DIRECTORY proxy|object|container|account
"""
import ctypes
import logging
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1

parent, directory, task, *more = sys.argv[1:]

# However the one ends who started it, this ends, too.
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() != int(parent):
    sys.exit('who started this is gone')

if task == 'memcached':
    port, user = more
    os.execv('/usr/bin/memcached', ['memcached', '-l', '127.0.0.1', '-p', port, '-U', '0', '-u', user])

# Swift reads this file from /etc, unless it is told so before anything else of it is loaded.
from swift.common import utils  # noqa: E402
utils.SWIFT_CONF_FILE = f'{directory}/swift.conf'
# The system's log is nobody's business here.
utils.ThreadSafeSysLogHandler = lambda **_: logging.FileHandler(f'{directory}/{task}.log')

if task == 'rings':
    from swift.common.ring import RingBuilder
    for name, port in zip(['object', 'container', 'account'], more):
        builder = RingBuilder(part_power=1, replicas=1, min_part_hours=0)
        builder.add_dev({'region': 1, 'zone': 1, 'ip': '127.0.0.1', 'port': int(port), 'device': 'disk', 'weight': 1})
        builder.rebalance()
        builder.get_ring().save(f'{directory}/{name}.ring.gz')
    # Swift keeps what it knows of objects in extended attributes.
    os.setxattr(f'{directory}/disks', 'user.swift.metadata', b'x')
else:
    from eventlet import wsgi

    class Input(wsgi.Input):
        def __init__(self, rfile, content_length, sock, *args, chunked_input=False, **more):
            # A request that gives no length has no body. Swift waits for one, though, when the newest version of an object
            # is removed that has older ones (or one whose key goes on).
            length = 0 if content_length is None and not chunked_input else content_length
            super().__init__(rfile, length, sock, *args, chunked_input=chunked_input, **more)

    wsgi.Input = Input
    sys.argv = [f'swift-{task}-server', f'{directory}/{task}-server.conf']
    runpy.run_path(f'/usr/bin/swift-{task}-server', run_name='__main__')
