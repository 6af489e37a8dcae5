"""Azure App Service: sites and their slots, which run in real containers.

    web = azure.web                                    # web_apps.WebApps
    site = web.add_site("app-faq", web.add_plan("plan-faq", "S1"), "staging")
    site.production, site.slot("staging")              # slot.Slot
    slot.managed.system.assign_roles("crflows", ACR_PULL)  # the identity that pulls its image
    slot.url, slot.front.server                        # its address; its requests and faults
    slot.settings, slot.config, slot.tags, slot.image  # its configuration
    slot.worker.current, slot.worker.wait()            # the running container; wait for starts
    slot.logs(), slot.log.wording                      # the response of containerlogs; its wording
    web.writes                                         # the requests that changed something
    web.taken                                          # names of sites that others have
    web.conflict_next(), web.hold_operations()         # inject 409; keep swaps from ending
    web.pace                                           # the speed of the service
    azure.vault("kv-faq").set("key", "…")              # vault.Vault; see `Vault.reference`
    azure.application("faq")                           # the audience of a site that authenticates

A client that deploys needs the role Website Contributor on the site, and on the plan if a request
names it. Not emulated: more than one instance, swap with preview, auto-swap, traffic rules,
IDENTITY_ENDPOINT in the container, publishing (SCM), and sites that are not one Linux container.
"""
