"""An authority of the test's own, by the openssl command, in a temporary folder, and what is made of its certificates."""

import os
import shutil
import ssl
import subprocess
import tempfile


class Authority:
    def __init__(self, name="Test authority"):
        self.folder = tempfile.mkdtemp(prefix="weir-ca-")
        os.chmod(self.folder, 0o755)
        self.ca = self.path("ca.crt")
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                 "-subj", f"/CN={name}", "-keyout", self.path("ca.key"), "-out", self.ca)

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, *args):
        done = subprocess.run(["openssl", *args], capture_output=True, text=True, timeout=30, cwd=self.folder)
        assert done.returncode == 0, done.stderr

    def certify(self, name, common_name, hosts="", days=30, key="ec"):
        """Makes name.crt and name.key. `hosts`: as in DNS:a.example,IP:127.0.0.1; days below 0: it has expired."""
        kind = ["-newkey", "rsa:2048"] if key == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        self.run("req", "-new", *kind, "-nodes", "-subj", f"/CN={common_name}", "-keyout", self.path(f"{name}.key"),
                 "-out", self.path(f"{name}.csr"))
        extensions = self.path(f"{name}.ext")
        with open(extensions, "w", encoding="ascii") as file:
            file.write(f"subjectAltName={hosts}\n" if hosts else "basicConstraints=CA:FALSE\n")
        self.run("x509", "-req", "-in", self.path(f"{name}.csr"), "-CA", self.ca, "-CAkey", self.path("ca.key"),
                 "-CAcreateserial", "-days", str(days), "-extfile", extensions, "-out", self.path(f"{name}.crt"))
        os.chmod(self.path(f"{name}.key"), 0o600)
        return self.path(f"{name}.crt"), self.path(f"{name}.key")

    def options(self, *names):
        """Of weir: its certificates, and the keys to them."""
        return "".join(f'[[certificate]]\ncertificate_file = "{self.path(name)}.crt"\nkey_file = "{self.path(name)}.key"\n'
                       for name in names or ("server",))

    def context(self, alpn="postgresql", **settings):
        """Of a client of Python's that verifies everything."""
        made = ssl.create_default_context(cafile=self.ca)
        if alpn:
            made.set_alpn_protocols([alpn])
        for name, value in settings.items():
            setattr(made, name, value)
        return made

    def give(self, server, name):
        """To a PostgreSQL: its certificate and key, and who may certify its clients."""
        for source, target in ((f"{name}.crt", "server.crt"), (f"{name}.key", "server.key"), ("ca.crt", "ca.crt")):
            path = os.path.join(server.data, target)
            shutil.copy(self.path(source), path)
            os.chmod(path, 0o600)
            server.give_to_postgres(path)

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)
