// Models of Azure OpenAI, without keys: who may ask has a role.
import { modelType, namesType, settingsType } from '../types.bicep'

param names namesType
param settings settingsType
param models modelType[]

resource account 'Microsoft.CognitiveServices/accounts@2025-06-01' = {
  name: names.openai
  location: settings.location
  tags: settings.tags
  kind: 'OpenAI'
  sku: { name: 'S0' }
  properties: {
    // Tokens of Entra are taken at an address of the account's own only.
    customSubDomainName: names.openai
    disableLocalAuth: true
    publicNetworkAccess: settings.private ? 'Disabled' : 'Enabled'
    networkAcls: { defaultAction: settings.private ? 'Deny' : 'Allow' }
  }
}

// One after the other: the account takes one change at a time.
@batchSize(1)
resource deployments 'Microsoft.CognitiveServices/accounts/deployments@2025-06-01' = [
  for model in models: {
    parent: account
    name: model.name
    sku: { name: model.sku, capacity: model.capacity }
    properties: {
      model: { format: 'OpenAI', name: model.model, version: model.version }
      versionUpgradeOption: 'NoAutoUpgrade'
    }
  }
]

module endpoint 'endpoint.bicep' = if (settings.private) {
  name: 'endpoint-openai'
  params: {
    names: names
    settings: settings
    target: account.id
    name: account.name
    groupId: 'account'
    zones: ['privatelink.openai.azure.com']
  }
}

resource logs 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: names.logs
}

// Not the requests and responses: they are the users' texts.
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-logs'
  scope: account
  properties: {
    workspaceId: logs.id
    logs: [{ category: 'Audit', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}
