"""What must hold before a deployment: checks of the configuration, and of what Azure has."""

from __future__ import annotations

from deploy.azure import preflight, pull_permission
from deploy.core.errors import DeployError, PlanBlocked, Problem
from deploy.targets.appservice import authentication, desired, naming, state
from deploy.targets.appservice.naming import PRODUCTION
from deploy.targets.appservice.settings import SiteSpec
from deploy.targets.appservice.state import NO_SLOTS, ObservedState, Site


def check_configuration(spec: SiteSpec) -> None:
    """Raise `DeployError` with all problems of `spec`; send no requests."""
    variables = desired.environment_variables(spec)
    alternative = "name a secret of a vault under env.secret_refs, use `auth: managed_identity`"
    problems = [
        *_check_app_name(spec),
        *preflight.find_problems(spec, "a site", variables),
        *_check_auth(spec),
        *preflight.find_plain_secret_problems(
            spec, variables, "the application settings", alternative
        ),
    ]
    if problems:
        raise DeployError.from_problems(problems)


def check_blockers(spec: SiteSpec, observed: ObservedState) -> None:
    """Raise `PlanBlocked` with all problems that prevent the plan from working."""
    problems = _check_service_plan(spec, observed)
    for check in (_check_ownership, _check_auth_change, _check_open_access):
        problems += [problem for site in observed.sites for problem in check(spec, site)]
    problems += [p for site in observed.sites for p in _check_identity(spec, observed, site)]
    if problems:
        raise PlanBlocked.from_problems(problems)


def _check_app_name(spec: SiteSpec) -> list[Problem]:
    if naming.app_name(spec):
        return []
    hint = "add `app: ‹name›` to deploy.yaml, or `app: ‹pattern with {flow}›` to environments.yaml"
    return [Problem(spec.name, "the site has no name", hint)]


def _check_auth(spec: SiteSpec) -> list[Problem]:
    if spec.settings.auth == "entra" and not spec.place.auth_client:
        message = "`auth: entra` needs an app registration, for which clients request tokens"
        hint = "add its client ID as `auth_client` to environments.yaml"
        return [Problem(f"--env {spec.environment}", message, hint)]
    return preflight.find_key_problems(spec, desired.environment_variables(spec))


def _check_service_plan(spec: SiteSpec, observed: ObservedState) -> list[Problem]:
    location, plan = f"plan {observed.plan.name}", observed.plan
    problems = []
    if not plan.linux:
        message = "it runs Windows containers, and images of flows are for Linux"
        problems.append(Problem(location, message, "use a Linux plan (reserved) for the site"))
    if spec.settings.slot and plan.tier in NO_SLOTS:
        message = f"its tier {plan.tier} has no slots; they need Standard or higher"
        hint = "change its size, or remove `slot` to deploy in place"
        problems.append(Problem(location, message, hint))
    return problems


def _check_ownership(spec: SiteSpec, site: Site) -> list[Problem]:
    record = site.record
    if record is None or record.is_managed_by(spec):
        return []
    message = f"it runs the flow {record.flow} of {record.environment}"
    hint = "set another `app` or `slot`, or `inv destroy` that deployment first"
    return [Problem(state.describe_site(spec, site), message, hint)]


def _check_auth_change(spec: SiteSpec, site: Site) -> list[Problem]:
    """Return a problem if a running site is to switch between platform and container sign-in.

    The site would be open for a moment, or reject all clients. After `inv destroy` nothing is
    running, so the change is safe.
    """
    current = authentication.auth_mode(site.auth, site.settings)
    is_platform_auth = current.startswith("entra")
    if is_platform_auth == (spec.settings.auth == "entra"):
        return []
    is_running = site.record is not None or (is_platform_auth and site.state != state.STOPPED)
    if not is_running:
        return []
    danger = "accept every client" if is_platform_auth else "reject every client"
    message = (
        f"a change of `auth` from {current} to {spec.settings.auth} would {danger} for a while"
    )
    hint = f"`inv destroy {spec.options}`, which stops it; then deploy"
    return [Problem(state.describe_site(spec, site), message, hint)]


def _check_open_access(spec: SiteSpec, site: Site) -> list[Problem]:
    location, settings = state.describe_site(spec, site), spec.settings
    rule = desired.find_open_rule(site.web) if settings.allow else ""
    if rule:
        message = f"its access restriction {rule} allows every client, so `allow` has no effect"
        return [Problem(location, message, "remove that restriction, or remove `allow`")]
    excluded_paths = (site.auth.get("globalValidation") or {}).get("excludedPaths")
    if settings.auth == "entra" and excluded_paths:
        paths = ", ".join(map(str, excluded_paths))
        message = f"its authentication excludes paths, which are open to every client: {paths}"
        return [Problem(location, message, "remove excludedPaths from the site's authentication")]
    return []


def _check_identity(spec: SiteSpec, observed: ObservedState, site: Site) -> list[Problem]:
    location = state.describe_site(spec, site)
    key = "identity" if site.name == PRODUCTION else "slot_identity"
    identity = state.select_identity(spec, site)
    if identity is None:
        count = len(site.user_identities)
        message = "it has no identity that could pull the image"
        if count > 1:
            message = f"it has {count} identities, and `{key}` does not say which pulls the image"
        if getattr(spec.place, key):
            message = f"it does not have the identity that `{key}` in environments.yaml names"
        hint = f"infrastructure assigns identities; `{key}` in environments.yaml names one"
        return [Problem(location, message, hint)]
    if observed.pull_permissions.get(site.name) is not False:
        return []
    principal = identity.client or identity.principal
    return [pull_permission.missing_role(location, principal, spec.place.registry)]
