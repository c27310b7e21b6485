"""The app that a Compose file describes: read, checked and mapped to processes, backing services and volumes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping

from gitship.compose import values
from gitship.compose.backing import EngineOf, KnownEngine, backing
from gitship.compose.commit_files import CommitFiles
from gitship.compose.env_file import read_env
from gitship.compose.granted_files import FileSources, read_sources
from gitship.compose.interpolation import Interpolation
from gitship.compose.keys import ComposeRefused, Findings, TooManyProblems, read_keys
from gitship.compose.links import link_variables
from gitship.compose.merging import ComposeFiles
from gitship.compose.model import ComposeApp, ComposeNote, ComposeProcess, Condition
from gitship.compose.mounts import refuse_data
from gitship.compose.service import ReadService, ServiceScope, read_service
from gitship.compose.start_order import start_order
from gitship.compose.top import TOP, X_GITSHIP, GitshipTable, read_gitship, read_networks, read_volumes
from gitship.compose.web import choose_web
from gitship.compose.yaml_nodes import YamlNode, as_value
from gitship.engine import image_references
from gitship.engine.image_references import ImageReference
from gitship.errors import ConfigError, GitshipError, UsageError
from gitship.model import PROCESS_TYPE
from gitship.schema import Value

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = tuple(name.replace(".y", ".override.y") for name in NAMES)
DOT_ENV = ".env"
PROFILES, EVERY_PROFILE = "COMPOSE_PROFILES", "*"
MOST_SERVICES = 100
MOST_UNSET = 20  # that are named
NO_WEB: tuple[str, int | None] = ("", None)


def compose_file(files: CommitFiles) -> str | None:
    """The commit's Compose file, as `docker compose` would find it; None without one."""
    return next((name for name in NAMES if files.read(name) is not None), None)


def read_app(file: str, files: CommitFiles, config: Mapping[str, str], engine_of: EngineOf, project: str) -> ComposeApp:
    """The app that ``file`` describes. ``config`` is the app's own, ``project`` its name.

    An override file beside it is for the developer's machine and not read. Raises ConfigError, of all problems that
    were found at once ComposeRefused.
    """
    scope = _scope(files, config, project)
    reader = ComposeFiles(files, scope)
    node = reader.whole(file)
    _ensure_compose(file, node)
    top = as_value(file, reader.extended(node, file))
    found = Findings()
    try:
        app = _read(top, files, scope, config, engine_of, found)
    except TooManyProblems as error:
        raise ComposeRefused(_explained(error.problems, scope)) from None
    if found.problems or app is None:
        raise ComposeRefused(_explained(found.problems, scope))
    return app


def _read(
    top: Value,
    files: CommitFiles,
    scope: Interpolation,
    config: Mapping[str, str],
    engine_of: EngineOf,
    found: Findings,
) -> ComposeApp | None:
    """None when a service cannot be read: what is left would have problems that the file has not."""
    _note_other_files(top.file, files, found)
    read = read_keys(top, TOP, found)
    gitship = GitshipTable()
    if X_GITSHIP in read:
        gitship = found.attempt(gitship, read_gitship, read[X_GITSHIP], found)
    services, off = _started(read["services"], scope.variables.get(PROFILES, ""), found)
    context = ServiceScope(
        files=files,
        scope=scope,
        names=tuple(services),
        off=off,
        networks=read_networks(read.get("networks"), found),
        volumes=read_volumes(read.get("volumes"), found),
        secrets=_sources(read.get("secrets"), "secrets", files, scope.variables, found),
        configs=_sources(read.get("configs"), "configs", files, scope.variables, found),
        found=found,
    )
    known = {}
    for name, value in services.items():
        one = found.attempt(None, read_service, name, value, context)
        if one is None:
            return None
        known[name] = one
    app = _mapped(top.file, known, context, gitship, config, engine_of)
    return dataclasses.replace(app, notes=(*found.notes, *_unset(scope, off, top)))


def _explained(problems: Iterable[GitshipError], scope: Interpolation) -> list[GitshipError]:
    """The problems; of one whose line has a variable that is not set, that is the reason."""
    explained: list[GitshipError] = []
    for problem in problems:
        name = scope.empty.get(problem.message.partition(": ")[0])
        hint = f"the variable {name} there is not set: config:set APP {name}=VALUE" if name else problem.hint
        explained.append(ConfigError(problem.message, hint))
    return explained


def _scope(files: CommitFiles, config: Mapping[str, str], project: str) -> Interpolation:
    """The app's config, over `.env` of the repository, over what Compose sets itself."""
    own = {"COMPOSE_PROJECT_NAME": project, "PWD": "."}
    content = files.read(DOT_ENV)
    env = read_env(DOT_ENV, content, Interpolation({**own, **config})) if content is not None else {}
    return Interpolation({**own, **{name: text for name, text in env.items() if text is not None}, **config})


def _ensure_compose(file: str, top: YamlNode) -> None:
    services = top.mapping.get("services")
    if services is not None and services.mapping:
        if len(services.mapping) > MOST_SERVICES:
            raise ConfigError(
                f"{services.place}: services must be {MOST_SERVICES} at most", "make several apps of them"
            )
        return
    hint = "for instance services: {web: {build: .}}"
    if services is not None and services.raw not in (None, {}):
        raise ConfigError(f"{services.place}: services must be a mapping", hint)
    fig = [name for name, node in top.mapping.items() if {"image", "build"} & node.mapping.keys()]
    if fig:
        hint = f"put {', '.join(fig[:3])} below `services:`, two spaces further in"
        raise ConfigError(f"{file} has its services at the top, as Fig had them", hint)
    raise ConfigError(f"{file} has no services", hint)


def _note_other_files(file: str, files: CommitFiles, found: Findings) -> None:
    for name in (*NAMES, *OVERRIDES):
        if name != file and files.read(name) is not None:
            why = "it is for your own machine" if name in OVERRIDES else f"{file} counts"
            found.note(Value(file, "", None), name, f"is not read: {why}")


def _started(value: Value, active: str, found: Findings) -> tuple[dict[str, Value], dict[str, str]]:
    """The services that start, and the others with their profile; ``active`` are the profiles that do, with commas."""
    started, off = {}, {}
    wanted = {word.strip() for word in active.split(",")} - {""}
    for name, one in value.entries().items():
        profiles = one.entries().get("profiles") if isinstance(one.raw, dict) else None
        names = found.attempt((), values.texts, profiles) if profiles is not None and profiles.raw else ()
        if names and not wanted & {*names, EVERY_PROFILE}:
            off[name] = names[0]
            assert profiles is not None
            way = f"config:set APP {PROFILES}={names[0]} starts it"
            found.note(profiles, name, f"is not started, as it has the profile {names[0]}: {way}")
        elif not PROCESS_TYPE.fullmatch(name):
            hint = "a name has letters, digits, '-' and '_', and begins and ends with a letter or digit"
            found.add(one.error("must be named as a process type is", hint))
        else:
            started[name] = one
    if not started:
        profile = next(iter(off.values()), "")
        hint = f"config:set APP {PROFILES}={profile} starts those with the profile {profile}; or remove `profiles`"
        found.add(value.error("must have a service that starts", hint))
    return started, off


def _sources(
    value: Value | None, kind: str, files: CommitFiles, variables: Mapping[str, str], found: Findings
) -> FileSources:
    if value is None:
        return FileSources(kind, {})
    return found.attempt(FileSources(kind, {}), read_sources, value, kind, files, variables, found)


def _mapped(
    file: str,
    services: dict[str, ReadService],
    context: ServiceScope,
    gitship: GitshipTable,
    config: Mapping[str, str],
    engine_of: EngineOf,
) -> ComposeApp:
    found = context.found
    engines = {name: engine for name, one in services.items() if (engine := _engine(one, engine_of, found))}
    order = found.attempt(tuple(services), start_order, services)
    once = {
        d.service for one in services.values() for d in one.depends_on if d.condition is Condition.COMPLETED
    } - engines.keys()
    for one in services.values():
        for dependency in one.depends_on:
            if dependency.condition is Condition.COMPLETED and dependency.service in engines:
                reason = f"must not wait for {dependency.service} to complete, which stays up"
                found.add(one.value.entries()["depends_on"].error(reason, "write service_healthy"))
    staying = [one for name, one in services.items() if name not in engines and name not in once]
    web, port = found.attempt(NO_WEB, choose_web, staying, gitship.web, found, file)
    for name, one in services.items():
        if name not in engines:
            refuse_data(one.mounts, one.read, found)
    ports = {name: one.container.ports for name, one in services.items()}
    ports |= {name: (*ports[name], engine.port) for name, engine in engines.items()}
    backings = tuple(
        backing(_linked(services[name], ports), engine, context.files, config, found)
        for name, engine in engines.items()
    )
    processes = tuple(
        _process(_linked(one, ports), name in once, found) for name, one in services.items() if name not in engines
    )
    used = {v.source for one in processes for v in one.container.volumes} | {one.data for one in backings}
    used |= {v.source for one in backings for v in one.container.volumes}
    return ComposeApp(
        file=file,
        processes=processes,
        services=backings,
        volumes=tuple(name for name in context.volumes if name in used),
        order=order,
        web=web,
        port=port,
        cache=gitship.cache,
        canary=gitship.canary,
        domains=gitship.domains,
    )


def _engine(service: ReadService, engine_of: EngineOf, found: Findings) -> KnownEngine | None:
    image = service.container.image
    if not image:
        return None
    value = service.value.entries()["image"]
    named = found.attempt(None, value.parsed, _image_reference)
    if named is None:
        return None
    engine = engine_of(image)
    if engine is None and (other := engine_of(named.repository)) is not None:
        text = f"is no version of {other.name} that gitship knows: it runs as a process, without backups"
        found.note(value, image, text, service.name)
    if engine is not None and not re.match("[0-9]", named.tag):
        text = f"names no version: that of a new service is {engine.version}, and stays until it is upgraded"
        found.note(value, image, text, service.name)
    return engine


def _image_reference(text: str) -> ImageReference:
    """Raises ValueError."""
    try:
        reference = image_references.parse(text)
    except UsageError:
        raise ValueError("must be the name of an image") from None
    if reference.id:  # it may be another app's
        raise ValueError("must be the name of an image, not an id of this server's")
    return reference


def _linked(service: ReadService, ports: Mapping[str, Iterable[int]]) -> ReadService:
    """With the variables of its links, beneath its own."""
    variables: dict[str, str] = {}
    for alias, name in service.container.links.items():
        variables |= link_variables(alias, name, dict.fromkeys(ports[name]))
    environment = {**variables, **service.container.environment}
    container = dataclasses.replace(service.container, environment=environment)
    return dataclasses.replace(service, container=container)


def _process(service: ReadService, once: bool, found: Findings) -> ComposeProcess:
    process = ComposeProcess(
        service.name, service.container, service.build, service.quantity, service.depends_on, once, service.config
    )
    if process.stateful and process.quantity > 1:
        hint = "keep one container, or mount the volume read-only"
        volume = next(v for v in process.container.volumes if not v.read_only)
        found.add(service.value.error(f"must not write to {volume.source} from several containers", hint))
    return process


def _unset(scope: Interpolation, off: Mapping[str, str], top: Value) -> tuple[ComposeNote, ...]:
    """Variables that are nowhere, without those of services that do not start, in one line."""
    silent = {place for path, place in top.places.items() if any(path.startswith(f"services.{name}.") for name in off)}
    unset = {name: place for name, place in scope.unset.items() if place not in silent}
    if not unset:
        return ()
    names = [*unset][:MOST_UNSET]
    more = f" and {len(unset) - len(names)} more" if len(unset) > len(names) else ""
    way = f"to set one: config:set APP {names[0]}=VALUE"
    return (ComposeNote(unset[names[0]], f"not set, and so empty: {', '.join(names)}{more}; {way}"),)
