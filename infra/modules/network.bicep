// A virtual network with a place for private endpoints and one for what goes out of web apps, and the
// private zones in which the endpoints' names are found.
import { namesType, settingsType } from '../types.bicep'

param names namesType
param settings settingsType
param zones string[]

// Nothing comes in from the internet; what is inside of the network may ask the endpoints.
resource guard 'Microsoft.Network/networkSecurityGroups@2025-05-01' = {
  name: '${names.network}-guard'
  location: settings.location
  tags: settings.tags
  properties: {
    securityRules: [
      {
        name: 'https-from-inside'
        properties: {
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'VirtualNetwork'
          sourcePortRange: '*'
          destinationAddressPrefix: 'VirtualNetwork'
          destinationPortRange: '443'
        }
      }
      {
        name: 'nothing-else'
        properties: {
          priority: 4096
          direction: 'Inbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: names.network
  location: settings.location
  tags: settings.tags
  properties: {
    addressSpace: { addressPrefixes: [settings.addresses] }
    subnets: [
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(settings.addresses, 26, 0)
          networkSecurityGroup: { id: guard.id }
          privateEndpointNetworkPolicies: 'Enabled'
        }
      }
      {
        name: 'sites'
        properties: {
          addressPrefix: cidrSubnet(settings.addresses, 26, 1)
          networkSecurityGroup: { id: guard.id }
          delegations: [
            { name: 'web', properties: { serviceName: 'Microsoft.Web/serverFarms' } }
          ]
        }
      }
    ]
  }
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for name in zones: {
    name: name
    location: 'global'
    tags: settings.tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (name, i) in zones: {
    parent: zone[i]
    name: names.network
    location: 'global'
    tags: settings.tags
    properties: {
      virtualNetwork: { id: network.id }
      registrationEnabled: false
    }
  }
]
