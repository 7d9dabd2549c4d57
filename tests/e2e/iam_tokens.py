"""Tokens of IAM, made by the documented algorithm (Signature Version 4, a presigned GET without its scheme)."""

import datetime
import hashlib
import hmac
import urllib.parse


def encode(text):
    return urllib.parse.quote(text, safe="-_.~")


def signing_key(secret, date, region, service):
    key = ("AWS4" + secret).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def make_token(host, user, key="AKIAORDERS", secret="secret/1+", region="us-east-1", service="rds-db", age=0, session_token=None,
               **changes):
    """A token that is `age` seconds old. `changes` are parameters that are signed as given, `-` written as `_`; None: left out."""
    time = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=age)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{time[:8]}/{region}/{service}/aws4_request"
    query = {"Action": "connect", "DBUser": user, "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{key}/{scope}",
             "X-Amz-Date": time, "X-Amz-Expires": "900", "X-Amz-SignedHeaders": "host"}
    if session_token is not None:
        query["X-Amz-Security-Token"] = session_token
    query.update({name.replace("_", "-"): value for name, value in changes.items()})
    text = "&".join(f"{encode(name)}={encode(query[name])}" for name in sorted(query) if query[name] is not None)
    request = f"GET\n/\n{text}\nhost:{host}\n\nhost\n{hashlib.sha256(b'').hexdigest()}"
    to_sign = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.new(signing_key(secret, time[:8], region, service), to_sign.encode(), hashlib.sha256).hexdigest()
    return f"{host}/?{text}&X-Amz-Signature={signature}"
