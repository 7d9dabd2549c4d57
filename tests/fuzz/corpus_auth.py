"""Seeds of the fuzz targets for secrets, keys, tokens and policies: a part of make_corpus.py, whose write() they are given."""

import base64


def secret(write):
    def seed(name, text):
        write("secret", name, text if isinstance(text, bytes) else text.encode())

    seed("least", '{"username": "app", "password": "x"}')
    seed("more", '{"username":"app","password":"x","dbname":"d","host":"h","port":5432,"engine":"postgres"}')
    seed("missing", '{"username":"app"}')
    seed("empty", '{"username":"","password":""}')
    seed("number", '{"username":1,"password":null}')
    seed("twice", '{"username":"a","username":"b","password":"x"}')
    seed("nul", '{"username":"a\\u0000","password":"x"}')
    seed("surrogates", '{"username":"\\ud83d\\ude00","password":"\\ud83d"}')
    seed("not_utf8", b'{"username":"\xff","password":"x"}')
    seed("deep_array", "[" * 5000)
    seed("deep_object", '{"a":' * 2000 + "1" + "}" * 2000)
    seed("number_too_great", '{"username":"a","password":"x","port":1e999999}')
    seed("cut", '{"username": "app", "pass')
    key = base64.b64encode(bytes(32)).decode()
    seed("verifier", '{"username": "app", "password": "SCRAM-SHA-256$4096:c2FsdA==$%s:%s"}' % (key, key))
    seed("verifier_cut", '{"username": "app", "password": "SCRAM-SHA-256$4096:c2FsdA=="}')
    seed("md5_hash", '{"username": "app", "password": "md5%s"}' % ("0" * 32))


def aws_answers(write):
    def seed(name, kind, text):
        write("aws_answers", name, bytes([kind]) + (text if isinstance(text, bytes) else text.encode()))

    key = ('{"Code":"Success","LastUpdated":"2026-01-01T00:00:00Z","Type":"AWS-HMAC","AccessKeyId":"ASIA1",'
           '"SecretAccessKey":"s/+=","Token":"t==","Expiration":"2026-01-01T06:00:00Z"}')
    seed("metadata", 0, key)
    seed("metadata_failed", 0, '{"Code":"AssumeRoleUnauthorizedAccess\\n","Message":"x"}')
    seed("metadata_line_end", 0, key.replace("t==", "t\\r\\nx: y"))
    seed("metadata_no_such_day", 0, key.replace("2026-01-01T06", "2026-02-30T06"))
    seed("metadata_types", 0, '{"Code":1,"AccessKeyId":[],"Token":{}}')
    seed("secret", 1, '{"ARN":"a","SecretString":"{\\"username\\":\\"app\\",\\"password\\":\\"x\\"}","VersionId":"v1"}')
    seed("secret_binary", 1, '{"SecretBinary":"eyJ4IjoxfQ==","VersionId":"v1"}')
    seed("secret_bad_binary", 1, '{"SecretBinary":"eyJ4=","VersionId":"v1"}')
    seed("error", 1, '{"__type":"com.amazonaws#ThrottlingException","message":"Rate exceeded"}')
    seed("error_long", 1, '{"__type":"%s","Message":"%s"}' % ("x#" * 1000, "y" * 1000))
    policy = '{\\"Statement\\":{\\"Effect\\":\\"Allow\\",\\"Action\\":\\"*\\",\\"Resource\\":\\"*\\"}}'
    seed("verified", 2, '{"signing_key":"%s","policies":["%s"],"expires_at":"2026-01-01T06:00:00Z"}' % ("0a" * 32, policy))
    seed("verified_bad_policy", 2, '{"signing_key":"%s","policies":["{}",1],"expires_at":"2026-01-01T06:00:00Z"}' % ("0a" * 32))
    seed("verified_short_key", 2, '{"signing_key":"0a"}')
    for kind in range(3):
        seed(f"deep_{kind}", kind, "[" * 3000)
        seed(f"not_utf8_{kind}", kind, b'{"Code":"\xff","Token":"\xc3","signing_key":"\xff"}')
    seed("question", 3, "a\"b\\\n\0\u00e9")
    seed("question_not_utf8", 3, b"\xff\xc3")


def iam_token(write):
    def seed(name, text):
        write("iam_token", name, text.encode())

    def token(**changes):
        values = {"Action": "connect", "DBUser": "app", "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
                  "X-Amz-Credential": "AKID%2F20260101%2Fus-east-1%2Frds-db%2Faws4_request",
                  "X-Amz-Date": "20260101T000000Z", "X-Amz-Expires": "900", "X-Amz-SignedHeaders": "host"}
        values.update({key.replace("_", "-"): value for key, value in changes.items()})
        return "db.example:6432/?" + "&".join(f"{key}={value}" for key, value in values.items()) + "&X-Amz-Signature=\x01"

    seed("good", token())
    seed("without_slash", token().replace("/?", "?"))
    seed("session_token", token(X_Amz_Security_Token="a%2Bb"))
    seed("not_signed", token().replace("\x01", "0" * 64))
    seed("encoded", token(Action="%63onnect", DBUser="%C3%A9%00"))
    seed("repeated", token() + "&Action=connect")
    seed("unknown", token(x="1"))
    seed("expires_zero", token(X_Amz_Expires="0"))
    seed("expires_great", token(X_Amz_Expires="9" * 30))
    seed("no_such_day", token(X_Amz_Date="20260230T000000Z"))
    seed("other_date", token(X_Amz_Date="20260102T000000Z"))
    seed("other_service", token(X_Amz_Credential="a/20260101/r/s3/aws4_request"))
    seed("no_port", token().replace(":6432", ""))
    seed("ipv6", token().replace("db.example", "[::1]"))
    seed("password", "secret")
    seed("cut_percent", "h?Action=%4")
    seed("long", token(DBUser="u" * 8000))


def iam_policy(write):
    def seed(name, text):
        write("iam_policy", name, text.encode())

    allow = '{"Effect":"Allow","Action":"rds-db:connect","Resource":"arn:aws:rds-db:r:1:dbuser:p/*"}'
    deny = '{"Sid":"x","Effect":"Deny","Action":["rds-db:*"],"Resource":["*/app","a?b"]}'
    seed("one", '{"Version":"2012-10-17","Statement":%s}' % allow)
    seed("two", '{"Id":"x","Statement":[%s,%s]}' % (allow, deny))
    seed("condition", '{"Statement":[{"Condition":{},%s]}' % allow[1:])
    seed("principal", '{"Statement":{"Principal":"*",%s}' % allow[1:])
    seed("variable", '{"Statement":%s}' % allow.replace("/*", "/${aws:username}"))
    seed("key_twice", '{"Statement":{"Effect":"Deny",%s}' % allow[1:])
    seed("empty", '{"Statement":[]}')
    seed("types", '{"Version":1,"Statement":[1,{"Effect":true,"Action":[],"Resource":{}}]}')
    seed("not_utf8", '{"Statement":"\udcff"}'.encode("utf-8", "surrogateescape").decode("latin-1"))
    seed("deep", "[" * 3000)
    seed("cut", '{"Version": "2012-10-17", "State')
    seed("match_stars", "\x01*a*b?\x01xaybz")
    seed("match_letters", "\x01?\u00e9*\x01\u00e9\u00e9")
    seed("match_many", "\x01" + "*a" * 40 + "b\x01" + "a" * 1000)


def credentials_file(write):
    def seed(name, text):
        write("credentials_file", name, text.encode())

    key = "aws_access_key_id = AKIA1\naws_secret_access_key = s/1+=\n"
    seed("one", "[a]\n" + key)
    seed("more", "# x\r\n[ a b ] ; y\r\n" + key + "aws_session_token=t\r\nregion = r\n  deeper = 1\n[role]\nrole_arn = x\n")
    seed("indented", "[a]\n" + key.replace("aws", "  aws"))
    seed("section_twice", "[a]\n" + key + "[a]\n")
    seed("id_twice", "[a]\n" + key + "[b]\n" + key)
    seed("setting_twice", "[a]\n" + key + key)
    seed("half", "[a]\naws_access_key_id = A\n")
    seed("several_lines", "[a]\naws_access_key_id = A\n  B\n")
    seed("no_section", key)
    seed("quoted", "[a]\naws_secret_access_key = \"x\"\n")
    seed("nul", "[a]\nx = \0\n")
    seed("no_name", "[]\n[a\n=\n")


ALL = (secret, aws_answers, iam_token, iam_policy, credentials_file)
