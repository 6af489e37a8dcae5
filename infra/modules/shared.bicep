// What every option needs: logs, a registry, a vault, the identities that deploy and that run, and
// where they are asked for a model and a private network.
import { budgetType, federationType, modelType, namesType, settingsType, sourceType } from '../types.bicep'

param names namesType
param settings settingsType
param federations federationType[]
param publishes bool
param promotesFrom sourceType
param models modelType[]
param budget budgetType

@description('The private zones of the options; those of what is shared are added.')
param zones string[]

// "Azure Private Endpoint private DNS zone values", the public cloud.
var sharedZones = union(
  ['privatelink.azurecr.io', 'privatelink.vaultcore.azure.net'],
  empty(models) ? [] : ['privatelink.openai.azure.com']
)

module monitoring 'monitoring.bicep' = {
  name: 'monitoring'
  params: { names: names, settings: settings, budget: budget }
}

module network 'network.bicep' = if (settings.private) {
  name: 'network'
  params: { names: names, settings: settings, zones: concat(sharedZones, zones) }
}

module registry 'registry.bicep' = {
  name: 'registry'
  params: { names: names, settings: settings }
  dependsOn: [monitoring, network]
}

module vault 'vault.bicep' = {
  name: 'vault'
  params: { name: names.vault, names: names, settings: settings }
  dependsOn: [monitoring, network]
}

module openai 'openai.bicep' = if (!empty(models)) {
  name: 'openai'
  params: { names: names, settings: settings, models: models }
  dependsOn: [monitoring, network]
}

module runner 'runner.bicep' = {
  name: 'runner'
  params: { name: names.runner, names: names, settings: settings, models: models }
  dependsOn: [registry, vault, openai]
}

module deployer 'deployer.bicep' = {
  name: 'deployer'
  params: {
    names: names
    settings: settings
    federations: federations
    publishes: publishes
    promotes: !empty(promotesFrom.registry)
  }
  dependsOn: [registry, runner]
}

module promotion 'promotion.bicep' = if (!empty(promotesFrom.registry)) {
  name: 'promotion-to-${names.group}'
  // Without one the condition is false, and still the scope must be one that there is.
  scope: resourceGroup(
    empty(promotesFrom.subscription) ? subscription().subscriptionId : promotesFrom.subscription,
    empty(promotesFrom.group) ? resourceGroup().name : promotesFrom.group
  )
  params: { registry: promotesFrom.registry, principalId: deployer.outputs.principalId }
}

output registry string = registry.outputs.server
output identity string = runner.outputs.id
output vault string = vault.outputs.uri
