// The identity that CI deploys as: one an environment, by federation, without a secret.
import { federationType, namesType, settingsType } from '../types.bicep'

param names namesType
param settings settingsType
param federations federationType[]
param publishes bool
param promotes bool

var roles = loadJsonContent('../../deploy/infra/roles.json')

resource deployer 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: names.deployer
  location: settings.location
  tags: settings.tags
}

// One after the other: an identity takes one change at a time.
@batchSize(1)
resource federated 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2024-11-30' = [
  for federation in federations: {
    parent: deployer
    name: federation.name
    properties: {
      issuer: federation.issuer
      subject: federation.subject
      audiences: ['api://AzureADTokenExchange']
    }
  }
]

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: names.registry
}

resource runner 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: names.runner
}

resource reads 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, deployer.id, roles['Reader'])
  properties: {
    principalId: deployer.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Reader'])
    description: 'plans and inv infra.check read the resources'
  }
}

resource pulls 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!publishes) {
  name: guid(registry.id, deployer.id, roles['AcrPull'])
  scope: registry
  properties: {
    principalId: deployer.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['AcrPull'])
    description: 'a deploy looks up the digest of the image'
  }
}

resource pushes 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (publishes) {
  name: guid(registry.id, deployer.id, roles['AcrPush'])
  scope: registry
  properties: {
    principalId: deployer.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['AcrPush'])
    description: 'images and the documents about them are published to the registry'
  }
}

resource imports 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (promotes) {
  name: guid(registry.id, deployer.id, roles['Container Registry Data Importer and Data Reader'])
  scope: registry
  properties: {
    principalId: deployer.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Container Registry Data Importer and Data Reader'])
    description: 'images are promoted by a registry import'
  }
}

resource assigns 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(runner.id, deployer.id, roles['Managed Identity Operator'])
  scope: runner
  properties: {
    principalId: deployer.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Managed Identity Operator'])
    description: 'deployed flows run as this identity'
  }
}

output principalId string = deployer.properties.principalId
