"""Prints a YAML file as JSON, anchors and merges resolved, as `docker compose` reads it."""

import json
import sys

import yaml

with open(sys.argv[1], encoding="utf-8") as file:
    json.dump(yaml.safe_load(file), sys.stdout)
