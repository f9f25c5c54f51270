"""What people see: parameters, texts, version names."""

import pytest
import yaml
from kfp import compiler, dsl
from kfp.compiler.compiler_utils import KubernetesManifestOptions

from pipelines.lint import check_files
from pipelines.lint_interface import RULES
from pipelines.lint_package import read_packages
from pipelines.release import compile_manifests, version_name


@dsl.component(base_image="localhost/test:1", install_kfp_package=False)
def word(text: str):
    pass


def eight(a: str, b: str, c: str, d: str, e: str, f: str, g: str, h: str):
    word(text=a)


def nine(a: str, b: str, c: str, d: str, e: str, f: str, g: str, h: str, i: str):
    word(text=a)


def documented(name: str):
    """Say a name.

    Args:
        name: what to say.
    """
    word(text=name)


def half_documented(name: str, other: str):
    """Say a name.

    Args:
        name: what to say.
    """
    word(text=name)


def test_the_rules():
    assert [rule.name for rule in RULES] == ["many-parameters", "undocumented", "version-name"]


def test_at_most_eight_parameters(broken_rules):
    assert "many-parameters" in broken_rules(nine)
    assert "many-parameters" not in broken_rules(eight)


def test_texts(broken_rules):
    assert "undocumented" not in broken_rules(documented, display_name="Say a name")
    assert "undocumented" in broken_rules(documented)
    assert "undocumented" in broken_rules(half_documented, display_name="Say a name")


def manifests(path, version):
    options = KubernetesManifestOptions(
        pipeline_name="say", pipeline_version_name=version, namespace="aerie", include_pipeline_manifest=True
    )
    pipeline = dsl.pipeline(name="say", display_name="Say")(documented)
    compiler.Compiler().compile(
        pipeline, str(path), kubernetes_manifest_format=True, kubernetes_manifest_options=options
    )
    return path


def test_a_version_is_named_by_its_content(tmp_path):
    (package,) = read_packages(manifests(tmp_path / "first.yaml", "say"))
    named = manifests(tmp_path / "named.yaml", version_name(package.manifest["spec"]))
    assert "version-name" not in {finding.rule for finding in check_files([named])}


@pytest.mark.parametrize("version", ["say", "say-000000000000", "say-v1"])
def test_any_other_name_is_found(version, tmp_path):
    named = manifests(tmp_path / "named.yaml", version)
    assert "version-name" in {finding.rule for finding in check_files([named])}


def test_our_release_is_named_by_its_content(tmp_path):
    path = tmp_path / "pipeline-version.yaml"
    path.write_text(yaml.safe_dump(compile_manifests().version))
    assert [finding.line() for finding in check_files([path]) if not finding.note] == []
