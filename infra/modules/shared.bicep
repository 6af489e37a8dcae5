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

module monitoring 'monitoring.bicep' = {
  name: 'monitoring'
  params: { names: names, settings: settings, budget: budget }
}

module network 'network.bicep' = if (settings.private) {
  name: 'network'
  params: { names: names, settings: settings }
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
  scope: resourceGroup(promotesFrom.subscription, promotesFrom.group)
  params: { registry: promotesFrom.registry, principalId: deployer.outputs.principalId }
}

output registry string = registry.outputs.server
output identity string = runner.outputs.id
output vault string = vault.outputs.uri
