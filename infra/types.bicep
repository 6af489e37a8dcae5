// What the parameter files hold. deploy/infra/parameters.py writes them; nothing here has a default,
// so that what is deployed is what the file says.

@export()
@description('The name of everything. The convention is in deploy/infra/naming.py.')
type namesType = {
  group: string
  budget: string
  logs: string
  insights: string
  alerts: string
  registry: string
  vault: string
  openai: string
  deployer: string
  runner: string
  network: string
  storage: string
  workspaceVault: string
  workspaceIdentity: string
  workspace: string
  slotIdentity: string
  plan: string
  autoscale: string
}

@export()
@description('What holds for everything.')
type settingsType = {
  location: string
  tags: object

  @description('Everything behind private endpoints, nothing reachable from the internet.')
  private: bool

  @description('The first address and length of the virtual network, such as 10.20.0.0/24; 256 addresses at least.')
  addresses: string

  @description('Spread over availability zones, where the region has some.')
  zoneRedundant: bool

  @description('How many days logs are kept.')
  logDays: int

  @description('Who gets alerts by mail.')
  contacts: string[]
}

@export()
@description('A job of CI that may act as the deploying identity.')
type federationType = {
  name: string
  issuer: string
  subject: string
}

@export()
@description('The registry of the environment whose images are promoted to this one; empty for none.')
type sourceType = {
  subscription: string
  group: string
  registry: string
}

@export()
@description('A deployment of a model of Azure OpenAI. The capacity is in thousands of tokens a minute.')
type modelType = {
  name: string
  model: string
  version: string
  sku: string
  capacity: int
}

@export()
@description('An amount a month in the currency of the bill, from the first of a month on; 0 for no budget.')
type budgetType = {
  amount: int
  start: string
}

@export()
@description('The size of an App Service plan, and between how many instances it scales.')
type planType = {
  sku: string
  minimum: int
  maximum: int
}

@export()
@description('The web app of a flow, and the slot that a new version starts in.')
type siteType = {
  flow: string
  name: string
  slot: string
}
