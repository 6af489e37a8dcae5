// Where images are: no admin user, no anonymous pull. A private endpoint and zones need Premium.
import { namesType, settingsType } from '../types.bicep'

param names namesType
param settings settingsType

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' = {
  name: names.registry
  location: settings.location
  tags: settings.tags
  sku: { name: settings.private || settings.zoneRedundant ? 'Premium' : 'Standard' }
  properties: {
    adminUserEnabled: false
    anonymousPullEnabled: false
    publicNetworkAccess: settings.private ? 'Disabled' : 'Enabled'
    networkRuleBypassOptions: 'AzureServices'
    zoneRedundancy: settings.zoneRedundant ? 'Enabled' : 'Disabled'
    // A log-in with a token for Resource Manager: App Service and the tool itself use one.
    policies: { azureADAuthenticationAsArmPolicy: { status: 'enabled' } }
  }
}

module endpoint 'endpoint.bicep' = if (settings.private) {
  name: 'endpoint-registry'
  params: {
    names: names
    settings: settings
    target: registry.id
    name: registry.name
    groupId: 'registry'
    zones: ['privatelink.azurecr.io']
  }
}

resource logs 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: names.logs
}

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-logs'
  scope: registry
  properties: {
    workspaceId: logs.id
    logs: [{ categoryGroup: 'audit', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output server string = registry.properties.loginServer
