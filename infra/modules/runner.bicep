// An identity that a flow runs as: it pulls the image, reads secrets and asks the model.
import { modelType, namesType, settingsType } from '../types.bicep'

param name string
param names namesType
param settings settingsType
param models modelType[]

var roles = loadJsonContent('../../deploy/infra/roles.json')

resource runner 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: settings.location
  tags: settings.tags
}

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: names.registry
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: names.vault
}

resource account 'Microsoft.CognitiveServices/accounts@2025-06-01' existing = {
  name: names.openai
}

resource pulls 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, runner.id, roles['AcrPull'])
  scope: registry
  properties: {
    principalId: runner.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['AcrPull'])
    description: 'the image of the flow is pulled as this identity'
  }
}

resource readsSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, runner.id, roles['Key Vault Secrets User'])
  scope: vault
  properties: {
    principalId: runner.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Key Vault Secrets User'])
    description: 'the flow gets its secrets from the vault when it starts'
  }
}

resource asks 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(models)) {
  name: guid(account.id, runner.id, roles['Cognitive Services OpenAI User'])
  scope: account
  properties: {
    principalId: runner.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Cognitive Services OpenAI User'])
    description: 'the flow calls the model without a key'
  }
}

output id string = runner.id
output principalId string = runner.properties.principalId
output clientId string = runner.properties.clientId
