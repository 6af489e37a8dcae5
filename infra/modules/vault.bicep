// A vault: roles instead of access policies, and nobody can purge what was deleted.
import { namesType, settingsType } from '../types.bicep'

param name string
param names namesType
param settings settingsType

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: name
  location: settings.location
  tags: settings.tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    enablePurgeProtection: true
    publicNetworkAccess: settings.private ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: settings.private ? 'Deny' : 'Allow'
    }
  }
}

module endpoint 'endpoint.bicep' = if (settings.private) {
  name: 'endpoint-${name}'
  params: {
    names: names
    settings: settings
    target: vault.id
    name: vault.name
    groupId: 'vault'
    zones: ['privatelink.vaultcore.azure.net']
  }
}

resource logs 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: names.logs
}

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-logs'
  scope: vault
  properties: {
    workspaceId: logs.id
    logs: [{ categoryGroup: 'audit', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output uri string = 'https://${vault.name}${az.environment().suffixes.keyvaultDns}'
