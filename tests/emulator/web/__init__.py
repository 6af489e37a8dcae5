"""Azure App Service with sites in real containers, and their slots.

    web = azure.web                                    # apps.WebApps
    site = web.add_site("app-faq", web.add_plan("plan-faq", "S1"), "staging")
    site.production, site.slot("staging")              # slot.Slot
    slot.managed.system.give("crflows", ACR_PULL)      # who pulls its image
    slot.url, slot.front.server                        # where it is reached, with record and faults
    slot.settings, slot.config, slot.tags, slot.image  # what it is configured with
    slot.worker.current, slot.worker.wait()            # what runs; until no start is under way
    slot.logs(), slot.log.wording                      # what containerlogs says, in which words
    web.writes                                         # which requests have changed something
    web.taken, web.conflict_next(), web.held()         # names of others; 409; no swap ends
    web.pace                                           # how fast all is
    azure.vault("kv-faq").set("key", "…")              # vault.Vault; `reference("key")` for a setting
    azure.application("faq")                           # what tokens for a site that authenticates are for

Whoever deploys needs the role Website Contributor on the site, and on the plan if a request names it.
Not emulated: more than one instance, swap with preview, auto-swap, traffic rules, IDENTITY_ENDPOINT in the
container, publishing (SCM), other ways to run a site than one Linux container.
"""
