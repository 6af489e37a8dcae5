// Flows on App Service.
targetScope = 'subscription'

import { budgetType, federationType, modelType, namesType, planType, settingsType, siteType, sourceType } from 'types.bicep'

param names namesType
param settings settingsType
param federations federationType[]
param publishes bool
param promotesFrom sourceType
param models modelType[]
param budget budgetType
param plan planType
param sites siteType[]

@description('The names of the sites, with {flow} in the place of the flow.')
param app string

@description('Whether callers of a flow are let in by a key, which the deploy must read.')
param keyed bool

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
    // Those that the option needs beside the shared ones.
    zones: ['privatelink.azurewebsites.net']
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
    keyed: keyed
  }
  dependsOn: [shared]
}

// What environments.yaml says of the environment, key by key.
output subscription string = subscription().subscriptionId
output resource_group string = group.name
output registry string = shared.outputs.registry
output identity string = shared.outputs.identity
output slot_identity string = web.outputs.slotIdentity
output app string = app
output key_vault string = shared.outputs.vault
