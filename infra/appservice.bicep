// Flows on App Service.
targetScope = 'subscription'

import { budget, federation, model, names, plan, settings, site, source } from 'types.bicep'

param names names
param settings settings
param federations federation[]
param publishes bool
param promotesFrom source
param models model[]
param budget budget
param plan plan
param sites site[]

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: names.group
  location: settings.location
  tags: settings.tags
}

module shared 'modules/shared.bicep' = {
  name: 'shared'
  scope: group
  params: {
    names: names
    settings: settings
    federations: federations
    publishes: publishes
    promotesFrom: promotesFrom
    models: models
    budget: budget
  }
}

module web 'modules/web.bicep' = {
  name: 'web'
  scope: group
  params: {
    names: names
    settings: settings
    models: models
    plan: plan
    sites: sites
  }
  dependsOn: [shared]
}

// What environments.yaml says of the environment, key by key.
output subscription string = subscription().subscriptionId
output resource_group string = group.name
output registry string = shared.outputs.registry
output identity string = shared.outputs.identity
output plan string = web.outputs.plan
output site string = web.outputs.site
output vault string = shared.outputs.vault
