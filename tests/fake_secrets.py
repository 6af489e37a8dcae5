"""Secrets that were never anybody's, one for each rule, and texts that come near to being one.

Made when the tests run: no text that looks like a secret is in the repository.
"""

from __future__ import annotations

import base64
import random
import string

LETTERS = string.ascii_letters + string.digits
BASE64 = LETTERS + "+/"
URL_SAFE = LETTERS + "-_"
HEX = "0123456789abcdef"


def text(alphabet: str, length: int, seed: int = 0) -> str:
    """Return a random text, the same for the same seed."""
    return "".join(random.Random(seed + length).choices(alphabet, k=length))  # noqa: S311


def _login(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


_UUID = "-".join(text(HEX, n, 4) for n in (8, 4, 4, 4, 12))
_PEM = "\n".join(text(BASE64, 64, seed) for seed in range(3))

SECRETS = {
    "a private key": f"-----BEGIN RSA PRIVATE KEY-----\n{_PEM}\n-----END RSA PRIVATE KEY-----",
    "an OpenAI key": f"sk-proj-{text(URL_SAFE, 48)}",
    "an Anthropic key": f"sk-ant-api03-{text(URL_SAFE, 93)}AA",
    "an Azure AI key": f"{text(LETTERS, 52)}JQQJ99BF{text(LETTERS, 14)}ACOG{text(LETTERS, 4)}",
    "an Azure service key": f"{text(BASE64, 76)}+ASt{text(BASE64, 5)}A==",
    "an Azure connection string": "DefaultEndpointsProtocol=https;AccountName=contoso;"
    f"AccountKey={text(BASE64, 86)}==;EndpointSuffix=core.windows.net",
    "an Application Insights connection string": f"InstrumentationKey={_UUID};"
    "IngestionEndpoint=https://westeurope-5.in.applicationinsights.azure.com/",
    "a shared access signature": "https://contoso.blob.core.windows.net/c/a.csv?sv=2024-11-04&"
    f"sp=r&sig={text(LETTERS, 40)}%2B%3D",
    "an Azure AD client secret": f"{text(LETTERS, 3)}8Q~{text(URL_SAFE, 34)}",
    "a JSON web token": f"eyJ{text(URL_SAFE, 33)}.eyJ{text(URL_SAFE, 80)}.{text(URL_SAFE, 43)}",
    "a GitHub token": f"ghp_{text(LETTERS, 36)}",
    "a GitLab token": f"glpat-{text(URL_SAFE, 20)}",
    "a Slack token": f"xoxb-{text(string.digits, 12)}-{text(LETTERS, 24)}",
    "an AWS access key": f"AKIA{text(string.ascii_uppercase, 16)} {text(BASE64, 40)}",
    "a Google API key": f"AIza{text(LETTERS, 35)}",
    "a Databricks token": f"dapi{text(HEX, 32)}",
    "a Hugging Face token": f"hf_{text(string.ascii_letters, 34)}",
    "an npm token": f"npm_{text(LETTERS, 36)}",
    "a PyPI token": f"pypi-AgE{text(URL_SAFE, 60)}",
    "a password in a URL": f"postgresql://flow:{text(LETTERS, 12)}@db.contoso.com/orders",
    "a password in a connection string": "Server=tcp:contoso.database.windows.net;User ID=flow;"
    f"Password={text(LETTERS, 12)};Encrypt=true",
    "a Docker login": f'{{"auths": {{"c.azurecr.io": {{"auth": "{_login("u:" + text(LETTERS, 16))}"}}}}}}',
}
"""One of each rule, as it would stand in a file."""

OTHER_FORMS = [
    ("a private key", f"-----BEGIN PRIVATE KEY-----\\n{text(BASE64, 64)}\\n"),
    ("a private key", f"-----BEGIN OPENSSH PRIVATE KEY-----\r\n{text(BASE64, 70)}\r\n"),
    (
        "a private key",
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n"
        + text(BASE64, 64),
    ),
    (
        "a private key",
        f"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\n\n{text(BASE64, 64)}",
    ),
    ("an OpenAI key", f'key = "sk-{text(LETTERS, 48)}"'),
    ("an Azure AI key", f"{text(LETTERS, 52, 9)}JQQJ99AK{text(LETTERS, 24)}"),
    ("an Azure service key", f"key: {text(BASE64, 33)}+AEhB{text(BASE64, 5)}="),
    ("an Azure service key", f"key: {text(LETTERS, 42)}AzSeC{text(LETTERS, 5)}\n"),
    ("an Azure service key", f"{text(BASE64, 42)}+ACRD{text(BASE64, 5)}"),
    ("an Azure service key", f"?code={text(URL_SAFE, 44)}AzFu{text(URL_SAFE, 5)}Q=="),
    (
        "an Azure connection string",
        "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=Root;"
        f"SharedAccessKey={text(BASE64, 43)}=;EntityPath=orders",
    ),
    (
        "an Azure connection string",
        f"AccountEndpoint=https://contoso.documents.azure.com:443/;AccountKey={text(BASE64, 86)}==;",
    ),
    (
        "an Azure connection string",
        f"Endpoint=https://contoso.azconfig.io;Id=a1-b2;Secret={text(BASE64, 43)}=",
    ),
    ("a shared access signature", f"SharedAccessSignature sr=a&sig={text(LETTERS, 43)}%3D&se=1"),
    ("a shared access signature", f'"https://c.example\\u0026sig={text(LETTERS, 43)}"'),
    ("an Azure AD client secret", f"secret: {text(LETTERS, 3)}7Q~{text(URL_SAFE, 31)}\n"),
    ("a GitHub token", f"github_pat_{text(LETTERS, 22)}_{text(LETTERS, 59)}"),
    ("a GitHub token", f"https://ghs_{text(LETTERS, 36)}@github.com/contoso/flows"),
    ("a Slack token", f"https://hooks.slack.com/services/T{text(LETTERS, 8)}/B{text(LETTERS, 30)}"),
    ("an AWS access key", f"aws_secret_access_key = {text(BASE64, 40)}\n"),
    ("an AWS access key", f'"SecretAccessKey": "{text(BASE64, 40)}"'),
    ("a password in a URL", f"redis://:{text(LETTERS, 12)}@cache.contoso.com:6380/0"),
    ("a password in a URL", f"https://build:{text(LETTERS, 12)}@[::1]/simple"),
]
"""The same kinds, written in other ways."""

NEAR = {
    "a private key": [
        "-----BEGIN CERTIFICATE-----\nMIIC" + text(BASE64, 60),
        "-----BEGIN PUBLIC KEY-----\nMIIC" + text(BASE64, 60),
        'if data.startswith(b"-----BEGIN RSA PRIVATE KEY-----"):',
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
    ],
    "an OpenAI key": [
        "sk-…",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "sk-your-key-here-please-and-nothing-else",
        "sk-spinner-with-a-fading-circle",
        f"task-{text(LETTERS, 30)}",
    ],
    "an Anthropic key": ["sk-ant-…", "sk-ant-" + "x" * 40],
    "an Azure AI key": [text(LETTERS, 84), f"{text(LETTERS, 53)}JQQJ99{text(LETTERS, 26)}"],
    "an Azure service key": [f"{text(BASE64, 200)}+ASt{text(BASE64, 200)}", "AzFu AzSe ACDb APIM"],
    "an Azure connection string": [
        "AccountKey=<your key>",
        "AccountKey=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        'SharedAccessKey={os.environ["KEY"]}',
    ],
    "an Application Insights connection string": [
        "InstrumentationKey=00000000-0000-0000-0000-000000000000"
    ],
    "a shared access signature": ["?sig=…", "&sig=" + "x" * 40, f"config={text(LETTERS, 40)}"],
    "an Azure AD client secret": ["abc8Q~too-short", f"{text(LETTERS, 60)}8Q~{text(LETTERS, 80)}"],
    "a JSON web token": ["eyJhbGciOiJSUzI1NiJ9", "eyJhbGci.eyJzdWIi.", "header.eyJ.payload"],
    "a GitHub token": [
        "ghp_short",
        "github_pat_…",
        "ghost_" + text(LETTERS, 36),
        "ghp_" + "x" * 36,
    ],
    "a GitLab token": ["glpat-short", "glpat-xxxxxxxxxxxxxxxxxxxx"],
    "a Slack token": ["xoxb-your-token-of-slack-here", "xoxb-…"],
    "an AWS access key": [
        "AKIAIOSFODNN7EXAMPLE",
        f"AKIA{text(string.ascii_uppercase, 16)} alone is no secret",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ],
    "a Google API key": ["AIza" + "x" * 35, f"AIza{text(LETTERS, 60)}"],
    "a Databricks token": ["dapi", f"dapi{text(HEX, 33)}"],
    "a Hugging Face token": ["hf_hub_download", "hf_" + "x" * 34, f"hf_{text(LETTERS, 50)}"],
    "an npm token": ["npm_config_registry", "npm_" + "x" * 36],
    "a PyPI token": ["pypi-AgE…", "pypi-AgE" + "x" * 60],
    "a password in a URL": [
        "https://user:password@host/",
        "https://user:pass@host:8080/",
        "http://{user}:{password}@{host}",
        "postgresql://flow:${DB_PASSWORD}@db/orders",
        "http://localhost:8080/a@b",
        "ssh://build@host",
        "https://contoso.openai.azure.com/openai/deployments/a:b",
    ],
    "a password in a connection string": [
        "Server=a;Password=<password>;",
        "Server=a;Password=your-password",
        "Server=a;Password=${DB_PASSWORD}",
        "Password",
    ],
    "a Docker login": [
        '{"auth": "managed_identity"}',
        '{"auth": "workloadidentity"}',
        '{"auth": "YWJjZGVmZ2hpams="}',
    ],
}
"""What each rule must let pass."""
