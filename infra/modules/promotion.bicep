// In the group of the environment before: who promotes from its registry.
param registry string
param principalId string

var roles = loadJsonContent('../../deploy/infra/roles.json')

resource origin 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: registry
}

resource imports 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(origin.id, principalId, roles['Container Registry Data Importer and Data Reader'])
  scope: origin
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Container Registry Data Importer and Data Reader'])
    description: 'images are promoted from this registry'
  }
}
