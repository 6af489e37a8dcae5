// The storage that a workspace must have: no keys, no anonymous access.
import { namesType, settingsType } from '../types.bicep'

param names namesType
param settings settingsType

resource storage 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: names.storage
  location: settings.location
  tags: settings.tags
  kind: 'StorageV2'
  sku: { name: settings.zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS' }
  properties: {
    accessTier: 'Hot'
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    allowCrossTenantReplication: false
    defaultToOAuthAuthentication: true
    isLocalUserEnabled: false
    publicNetworkAccess: settings.private ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: settings.private ? 'Deny' : 'Allow'
    }
  }
}

module blobs 'endpoint.bicep' = if (settings.private) {
  name: 'endpoint-blobs'
  params: {
    names: names
    settings: settings
    target: storage.id
    name: storage.name
    groupId: 'blob'
    zones: ['privatelink.blob.${az.environment().suffixes.storage}']
  }
}

module files 'endpoint.bicep' = if (settings.private) {
  name: 'endpoint-files'
  params: {
    names: names
    settings: settings
    target: storage.id
    name: storage.name
    groupId: 'file'
    zones: ['privatelink.file.${az.environment().suffixes.storage}']
  }
}
