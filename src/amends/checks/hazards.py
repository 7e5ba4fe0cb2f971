"""What replay cannot repeat, by dotted name.

A name ends in ``.*`` for everything below it.  The longest entry that fits decides; `SAFE` takes names
out again.
"""

from __future__ import annotations

CLOCK = """
time.time time.time_ns time.monotonic time.monotonic_ns time.perf_counter time.perf_counter_ns
time.process_time time.process_time_ns time.thread_time time.sleep datetime.datetime.now
datetime.datetime.utcnow datetime.datetime.today datetime.date.today pendulum.now pendulum.today arrow.now
arrow.utcnow django.utils.timezone.now django.utils.timezone.localtime pandas.Timestamp.now
pandas.Timestamp.utcnow whenever.Instant.now whenever.ZonedDateTime.now
"""
SEEDED = {
    "random.Random",
    "numpy.random.default_rng",
    "numpy.random.RandomState",
    "numpy.random.SeedSequence",
}
CLOCK_WITHOUT_ARGUMENT = {"time.localtime", "time.gmtime", "time.ctime", "time.asctime"}
CHANCE = """
random.* secrets.* uuid.uuid1 uuid.uuid4 uuid.uuid6 uuid.uuid7 uuid.uuid8 uuid.getnode os.urandom
os.getrandom numpy.random.* builtins.id builtins.hash ulid.* nanoid.* shortuuid.*
"""
IO = """
amends.participants.barrier.* amends.participants.http.* amends.participants.graphql.*
amends.participants.grpc.* builtins.open builtins.input io.open os.* shutil.* socket.* ssl.* select.*
selectors.* tempfile.* glob.* urllib.request.* http.client.* ftplib.* smtplib.* imaplib.* poplib.*
telnetlib.* xmlrpc.client.* sqlite3.* dbm.* shelve.* apsw.* psycopg.* psycopg2.* asyncpg.* aiosqlite.*
aiopg.* aiomysql.* pymysql.* pymongo.* motor.* redis.* aioredis.* aiokafka.* kafka.* aio_pika.* pika.*
nats.* boto3.* botocore.* aiobotocore.* requests.* httpx.* httpx2.* aiohttp.* urllib3.* websockets.* grpc.*
paramiko.* stripe.* elasticsearch.* sqlalchemy.create_engine sqlalchemy.ext.asyncio.* aiofiles.*
anyio.open_file anyio.connect_tcp asyncio.open_connection asyncio.start_server asyncio.open_unix_connection
asyncio.start_unix_server pathlib.Path.read_text pathlib.Path.read_bytes pathlib.Path.write_text
pathlib.Path.write_bytes pathlib.Path.open pathlib.Path.exists pathlib.Path.is_file pathlib.Path.is_dir
pathlib.Path.iterdir pathlib.Path.glob pathlib.Path.rglob pathlib.Path.stat pathlib.Path.mkdir
pathlib.Path.unlink pathlib.Path.touch pathlib.Path.rename pathlib.Path.replace pathlib.Path.rmdir
pathlib.Path.cwd pathlib.Path.home pathlib.Path.resolve pathlib.Path.walk
"""
FOREIGN = """
threading.* _thread.* concurrent.futures.* multiprocessing.* subprocess.* os.system os.popen os.fork
os.spawnl os.spawnv os.execv os.kill signal.signal queue.* trio.* anyio.to_thread.* anyio.from_thread.*
anyio.run anyio.create_task_group anyio.sleep asyncio.to_thread asyncio.run asyncio.Runner
asyncio.new_event_loop asyncio.Task asyncio.wrap_future asyncio.run_coroutine_threadsafe
asyncio.create_subprocess_exec asyncio.create_subprocess_shell asgiref.sync.sync_to_async
asgiref.sync.async_to_sync
"""
FOREIGN_METHODS = {"run_in_executor", "call_soon_threadsafe", "run_until_complete", "run_forever"}
ENVIRONMENT = """
os.environ os.environ.* os.environb os.getenv sys.argv sys.platform platform.* os.getpid os.getppid
os.cpu_count os.name os.uname os.getlogin getpass.getuser locale.getlocale socket.gethostname socket.getfqdn
importlib.metadata.*
"""
OUTPUT = """
builtins.print logging.debug logging.info logging.warning logging.error logging.exception logging.critical
"""
LOGGERS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
SAFE = """
amends.participants.http.Accepted
os.path.join os.path.basename os.path.dirname os.path.splitext os.path.normpath os.path.split os.path.isabs
os.path.commonpath os.path.commonprefix os.fspath os.fsencode os.fsdecode os.strerror os.sep os.linesep
os.PathLike os.devnull os.extsep os.pathsep os.path.sep socket.timeout socket.error socket.gaierror
socket.inet_aton socket.inet_ntoa socket.AF_INET ssl.SSLError redis.exceptions.* httpx.URL httpx.QueryParams
httpx.Headers httpx.HTTPError httpx.HTTPStatusError httpx.TimeoutException httpx.ConnectError
httpx.RequestError requests.exceptions.* requests.RequestException requests.HTTPError requests.Timeout
requests.ConnectionError aiohttp.ClientError aiohttp.ClientResponseError sqlite3.Error
sqlite3.IntegrityError sqlite3.OperationalError sqlite3.Row urllib3.exceptions.*
concurrent.futures.TimeoutError concurrent.futures.CancelledError subprocess.CalledProcessError
subprocess.TimeoutExpired subprocess.SubprocessError queue.Empty queue.Full psycopg.Error
asyncpg.exceptions.* glob.escape shutil.Error stripe.error.* grpc.StatusCode.* grpc.RpcError
boto3.dynamodb.conditions.* secrets.compare_digest hmac.compare_digest
"""

_TABLES = (
    ("AM301", CLOCK),
    ("AM302", CHANCE),
    ("AM303", IO),
    ("AM304", FOREIGN),
    ("AM305", ENVIRONMENT),
    ("AM308", OUTPUT),
    ("", SAFE),
)
_TABLE = {name: code for code, names in _TABLES for name in names.split()}

RIGHT = {
    "time.sleep": "await asyncio.sleep(…)",
    "datetime.date.today": "amends.now().date()",
    "uuid.uuid1": "amends.uuid()",
    "uuid.uuid4": "amends.uuid()",
    "uuid.uuid7": "amends.uuid()",
    "builtins.id": "a key of your own; addresses differ between processes",
    "builtins.hash": "hashlib; the hash of text differs between processes",
    "builtins.print": "amends.logger",
}


def hazard(dotted: str, *, arguments: int = 1) -> str:
    """The code of the rule against a name; empty if there is none. `arguments`: how many a call has."""
    if dotted in SEEDED and arguments:
        return ""
    if dotted.startswith("random.Random."):
        return ""  # the object was judged where it was made
    if dotted in CLOCK_WITHOUT_ARGUMENT:
        return "" if arguments else "AM301"
    if dotted in _TABLE:
        return _TABLE[dotted]
    parts = dotted.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        code = _TABLE.get(".".join(parts[:cut]) + ".*")
        if code is not None:
            return code
    if dotted.startswith("logging.Logger.") and parts[-1] in LOGGERS:
        return "AM308"
    return "AM304" if parts[-1] in FOREIGN_METHODS and dotted.startswith("asyncio.") else ""
