// A private endpoint, and its names in the zones.
import { namesType, settingsType } from '../types.bicep'

param names namesType
param settings settingsType
param target string
param name string
param groupId string
param zones string[]

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' existing = {
  name: names.network
}

resource endpoint 'Microsoft.Network/privateEndpoints@2025-05-01' = {
  name: 'pe-${name}-${groupId}'
  location: settings.location
  tags: settings.tags
  properties: {
    subnet: { id: '${network.id}/subnets/endpoints' }
    privateLinkServiceConnections: [
      {
        name: groupId
        properties: { privateLinkServiceId: target, groupIds: [groupId] }
      }
    ]
  }
}

resource addresses 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = {
  parent: endpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      for zone in zones: {
        name: replace(zone, '.', '-')
        properties: { privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', zone) }
      }
    ]
  }
}
