package emulator

import (
	"cmp"
	"strings"
	"time"
)

// The ids of the default world. They are the same in every emulator; every
// credential, on the other hand, is made anew by each.
const (
	TenantID     = "11111111-1111-4111-8111-111111111111"
	TenantDomain = "contoso.onmicrosoft.com"

	BlueprintID  = "b1b1b1b1-0000-4000-8000-000000000001" // client id of the agent identity blueprint
	AgentID      = "a1a1a1a1-0000-4000-8000-000000000002" // client id of the agent identity
	AgentUserID  = "a2a2a2a2-0000-4000-8000-000000000003" // object id of the agent's user account
	AgentUserUPN = "azdo-agent@contoso.onmicrosoft.com"

	AppID          = "c1c1c1c1-0000-4000-8000-000000000004" // client id of the app registration
	AppPrincipalID = "c2c2c2c2-0000-4000-8000-000000000008" // object id of its service principal
	ServiceUserID  = "d1d1d1d1-0000-4000-8000-000000000005" // object id of the service account
	ServiceUserUPN = "svc-azdo@contoso.onmicrosoft.com"

	AdminID  = "d2d2d2d2-0000-4000-8000-000000000009" // object id of the administrator
	AdminUPN = "admin@contoso.onmicrosoft.com"

	OrganizationName = "contoso"
	OrganizationID   = "38aaa865-2c70-4bf7-a308-0c6539c38c1a" // the id in a PAT's targetAccounts
	Project          = "demo"
	Repository       = "hello" // the git repository in Project

	ServiceConnectionID = "e1e1e1e1-0000-4000-8000-000000000006"

	// AzureDevOpsResource is Azure DevOps' application id, the same in every
	// tenant, and the audience of the tokens that it accepts.
	AzureDevOpsResource = "499b84ac-1321-427f-aa17-267ca6975798"
	// AzureDevOpsPrincipalID is the object id of Azure DevOps' service principal,
	// which each tenant has one of its own of.
	AzureDevOpsPrincipalID = "e2e2e2e2-0000-4000-8000-00000000000a"
	// NoTenant is what Azure DevOps answers for an organization that is not
	// connected to Entra.
	NoTenant = "00000000-0000-0000-0000-000000000000"
	// Audience is what an assertion must be made for.
	Audience = "api://AzureADTokenExchange"
)

// State is what the services know. Its slices hold pointers, so that a test
// edits one entry in place:
//
//	e.Change(func(w *emulator.World) { w.User(emulator.ServiceUserUPN).MFARequired = true })
type State struct {
	TenantID     string // GUID
	TenantDomain string // works in place of the GUID in URLs
	// NoAzureDevOps means that the tenant has never used Azure DevOps, so that
	// its application is unknown (AADSTS500011).
	NoAzureDevOps bool

	// NoKeyVault means that the tenant does not know Azure Key Vault (AADSTS500011).
	NoKeyVault bool

	Apps  []*App
	Users []*User
	// Grants are the consents given through Microsoft Graph, in addition to
	// [App.Consented].
	Grants []*Grant
	// Deleted are the objects that Microsoft Graph has deleted and could restore.
	Deleted []*DeletedObject
	// ReplicationReads is how often an object that was created through Microsoft
	// Graph is not found before it is; what is created with it is refused as long.
	ReplicationReads int
	// KeepUniqueNames leaves the uniqueName of a deleted application taken until
	// the application is deleted for good. Microsoft does not document it.
	KeepUniqueNames bool
	RefreshTokens   []*IssuedRefreshToken

	// AccessTokenLife is how long access tokens live, T1 and T2 among them.
	AccessTokenLife time.Duration
	// RotateRefreshTokens adds a replacement to the answer of the grant
	// refresh_token. The old one stays valid.
	RotateRefreshTokens bool
	// CredentialDelay is how long a new certificate of an application is unknown.
	CredentialDelay time.Duration
	// AllowReusedAssertions lets an assertion of the CI system be used again,
	// as Entra does. For token files, of which there is no fresh one.
	AllowReusedAssertions bool

	AzureVaults     []*AzureVault
	RoleAssignments []*RoleAssignment

	Organizations      []*Organization
	ServiceConnections []*ServiceConnection
	Runs               []*Run
	Vault              *Vault
}

// App finds an application by its client id, or nil.
func (w *State) App(clientID string) *App {
	for _, a := range w.Apps {
		if strings.EqualFold(a.ClientID, clientID) {
			return a
		}
	}
	return nil
}

// User finds a user by object id or user principal name, or nil.
func (w *State) User(idOrUPN string) *User {
	for _, u := range w.Users {
		if strings.EqualFold(u.ID, idOrUPN) || strings.EqualFold(u.UPN, idOrUPN) {
			return u
		}
	}
	return nil
}

// Organization finds an organization by name, or nil. Case does not matter.
func (w *State) Organization(name string) *Organization {
	for _, o := range w.Organizations {
		if strings.EqualFold(o.Name, name) {
			return o
		}
	}
	return nil
}

// complete gives an app the ids that a test left out.
func (a *App) complete() {
	for i := range a.Credentials {
		if c := &a.Credentials[i]; c.ID == "" {
			c.ID = guid()
			c.Name = cmp.Or(c.Name, c.ID)
		}
	}
	if a.madeByAPI {
		return
	}
	if a.Kind != AgentIdentity {
		a.ObjectID = cmp.Or(a.ObjectID, guid())
	}
	a.PrincipalID = cmp.Or(a.PrincipalID, guid())
	a.DisplayName = cmp.Or(a.DisplayName, a.ClientID)
}

// AppKind is what an application may do at the token endpoint.
type AppKind int

const (
	// AppRegistration is an ordinary confidential client.
	AppRegistration AppKind = iota
	// Blueprint is an agent identity blueprint: it gets tokens for its agent
	// identities and none for anything else.
	Blueprint
	// AgentIdentity is an agent identity, which presents its blueprint's token
	// in place of a credential of its own.
	AgentIdentity
)

// An App is an application in the tenant, together with its service principal.
type App struct {
	ClientID string
	Kind     AppKind
	// ObjectID is the application's own, "" for an agent identity, which has no
	// application. PrincipalID is the service principal's, "" if there is none.
	// An app that a test adds gets both.
	ObjectID    string
	PrincipalID string
	DisplayName string
	UniqueName  string // alternate key, never changed
	// MultiTenant is signInAudience AzureADMultipleOrgs.
	MultiTenant bool
	Owners      []string // object ids of users
	Sponsors    []string // object ids of users; agents only
	// Blueprint is the client id of an agent identity's blueprint.
	Blueprint string
	// Public clients may present no assertion (AADSTS700025).
	Public bool
	// Credentials are the federated identity credentials.
	Credentials []FederatedCredential
	// Consented are the delegated permissions to Azure DevOps that have been
	// granted, such as vso.pats; without any, users' tokens are refused
	// (AADSTS65001).
	Consented []string

	created    time.Time
	madeByAPI  bool           // through Microsoft Graph: what it lacks, it lacks
	properties map[string]any // of the application, which have no field of their own
	// The rest is for signing in at the page.

	Redirects []Redirect
	// Keys are certificates with which the application may authenticate, beside those
	// that it got through Microsoft Graph.
	Keys []*KeyCredential
	// Permissions are those that the consent page asks for, and grants.
	Permissions []string
	// AdminConsent means that users may not consent by themselves (AADSTS90094).
	AdminConsent bool
	// NoOfflineAccess means that offline_access is not granted: no refresh token.
	NoOfflineAccess bool
	// AssignmentRequired lets only the users in Assigned sign in, by object id
	// (AADSTS50105).
	AssignmentRequired bool
	Assigned           []string
}

// A FederatedCredential is the trust in one subject of one issuer, or, with an
// Expression, in the subjects that it matches.
type FederatedCredential struct {
	Issuer, Subject, Audience string

	ID          string // GUID
	Name        string // immutable
	Description string
	Expression  string // claimsMatchingExpression; then there is no Subject
}

// A Grant is a consent to delegated permissions (oAuth2PermissionGrant).
type Grant struct {
	ID        string
	Client    string // object id of the client's service principal
	Principal string // object id of the user; "" for all users (AllPrincipals)
	Resource  string // object id of the resource's service principal
	Scope     string // as it was given, words separated by spaces
}

// A DeletedObject is one in Entra's recycle bin.
type DeletedObject struct {
	Type       string // application, servicePrincipal or user
	ID         string // object id
	UniqueName string // of an application
	Deleted    time.Time

	object map[string]any // as Microsoft Graph showed it
}

// A User is a user account. The conditions apply to every grant in the user's
// name, if not said otherwise.
type User struct {
	ID  string // object id
	UPN string
	// Agent is the client id of the agent identity whose user account this is.
	Agent string
	// Password is "" for accounts that have none, such as agents'.
	Password    string
	DisplayName string
	// Roles are the Entra directory roles, such as "Agent ID Administrator".
	Roles []string

	created      time.Time
	mailNickname string
	jobTitle     string
	parent       string // object id of the agent identity

	Disabled        bool // AADSTS50057
	Locked          bool // AADSTS50053, grant password
	PasswordExpired bool // AADSTS50055, grant password
	MFARequired     bool // AADSTS50076, grants password and refresh_token; a second page when signing in
	BlockedByPolicy bool // AADSTS53003, Conditional Access
	SignInTooOld    bool // AADSTS70043, grant refresh_token: sign-in frequency
}

// MFACode is what the second page of the sign-in takes.
const MFACode = "123456"

// An IssuedRefreshToken is one that a user has got through an application.
type IssuedRefreshToken struct {
	Value    string
	ClientID string
	UserID   string
	Expires  time.Time
	Revoked  bool // AADSTS50173
	// MFA: the user gave a second factor when it was issued.
	MFA bool
}

// An Organization is an Azure DevOps organization.
type Organization struct {
	Name string
	ID   string // GUID
	// Tenant is the Entra tenant that the organization is connected to,
	// [NoTenant] if none.
	Tenant string
	// Members are the object ids of the users in it
	// and of the service principals.
	Members []string
	// Administrators are the object ids of the Project Collection Administrators.
	Administrators []string
	// Licenses are the access levels (accountLicenseType) of members, by object id;
	// express, which is Basic, for those that are not in it.
	Licenses map[string]string
	// RefuseAgentUsers refuses to make agent users members, RefuseKnownMembers to add a
	// member again. Microsoft documents neither.
	RefuseAgentUsers, RefuseKnownMembers bool

	Policies Policies
	// Revoked is the answer to the revocation of a PAT that does not exist.
	Revoked GoneAnswer
	// SignIn says what the unauthenticated get who did not ask for a 401 with
	// X-TFS-FedAuthRedirect: Suppress.
	SignIn SignIn
	// PageSize is the length of a page of PATs if $top is not given.
	PageSize int
}

// A GoneAnswer is one of the answers, none of them documented, to the
// revocation of a PAT that is unknown or already revoked.
type GoneAnswer int

const (
	GoneNotFound              GoneAnswer = iota // 404 with an error in JSON
	GoneTokenNotFound                           // 200, patTokenError tokenNotFound
	GoneAuthorizationNotFound                   // 200, patTokenError authorizationNotFound
	GoneNoContent                               // 204, like the first time
)

// A SignIn is how Azure DevOps sends a client to its sign-in page.
type SignIn int

const (
	SignInPage     SignIn = iota // 203 with HTML
	SignInRedirect               // 302
)

// Policies are an organization's (and a tenant's) policies about PATs.
type Policies struct {
	// MaxLifetime caps how long a PAT may live from its creation; 0 is no cap
	// beyond the service's own of one year.
	MaxLifetime time.Duration
	// RefuseLongLived answers patLifespanPolicyViolation to a longer lifetime
	// instead of shortening it.
	RefuseLongLived bool
	// RestrictFullScope refuses app_token (fullScopePatPolicyViolation).
	RestrictFullScope bool
	// RestrictCreation refuses new PATs (disablePatCreationPolicyViolation)
	// except for users on the allow-list and, with AllowPackaging, for PATs that
	// have packaging scopes only.
	RestrictCreation bool
	AllowPackaging   bool
	AllowList        []string // object ids
}

// A ServiceConnection is an Azure Pipelines service connection with workload
// identity federation.
type ServiceConnection struct {
	ID   string // GUID
	Name string
	// Issuer of its assertions: [PipelinesIssuer] if empty, as with connections made
	// until 2025. Those made through the API have Entra's.
	Issuer  string
	Subject string // sc://ORGANIZATION/PROJECT/CONNECTION, or with Entra's issuer /eid1/…
	// ClientID is the application that it signs in as.
	ClientID string
	// Unreferenced means that no task of the job's stage names it: then its
	// token is refused, since March 2026. The words are the service's, the
	// status is not known.
	Unreferenced bool
}

// defaultWorld is a tenant in which every identity works: an agent user below
// a blueprint, and a service account that an app registration acts for, with its refresh
// token in a vault. The service principal of that registration is a member itself. Both
// applications trust the default GitHub job, the default service connection
// and the GitLab-like issuer.
func (e *Emulator) defaultWorld() *State {
	trust := func() []FederatedCredential {
		return []FederatedCredential{
			{Name: "github", Issuer: e.GitHubIssuer(), Subject: Job{}.withDefaults().Subject(), Audience: Audience},
			{Name: "pipelines", Issuer: PipelinesIssuer, Subject: PipelinesSubject, Audience: Audience},
			{Name: "gitlab", Issuer: GitLabIssuer, Subject: GitLabSubject, Audience: Audience},
		}
	}
	consented := func() []string { return []string{"vso.pats", "vso.pats_manage"} }
	refreshToken := newRefreshToken()
	return &State{
		TenantID:     TenantID,
		TenantDomain: TenantDomain,
		Apps: []*App{
			{ClientID: BlueprintID, Kind: Blueprint, Credentials: trust()},
			{ClientID: AgentID, Kind: AgentIdentity, Blueprint: BlueprintID, Consented: consented()},
			{
				ClientID: AppID, PrincipalID: AppPrincipalID, Kind: AppRegistration, DisplayName: "azdo-pat", Credentials: trust(), Consented: consented(),
				Permissions: consented(), Redirects: []Redirect{{"http://localhost", Web}},
			},
		},
		Users: []*User{
			{ID: AgentUserID, UPN: AgentUserUPN, Agent: AgentID},
			{ID: ServiceUserID, UPN: ServiceUserUPN, Password: "Pa55-" + random(24)},
			{ID: AdminID, UPN: AdminUPN, Password: "Pa55-" + random(24), Roles: []string{
				"Agent ID Administrator", "Cloud Application Administrator", "User Administrator",
			}},
		},
		RefreshTokens: []*IssuedRefreshToken{{
			Value: refreshToken, ClientID: AppID, UserID: ServiceUserID,
			Expires: e.Now(Entra).Add(refreshTokenLife),
		}},
		AccessTokenLife: time.Hour,
		AzureVaults:     []*AzureVault{{Name: VaultName, Location: "westeurope", RBAC: true}},
		RoleAssignments: []*RoleAssignment{{Name: guid(), Scope: "/subscriptions/" + SubscriptionID, Role: "Owner", Principal: AdminID}},
		Organizations: []*Organization{{
			Name: OrganizationName, ID: OrganizationID, Tenant: TenantID,
			Members:        []string{AgentUserID, ServiceUserID, AppPrincipalID, AdminID},
			Administrators: []string{AdminID},
			PageSize:       20,
		}},
		ServiceConnections: []*ServiceConnection{{ID: ServiceConnectionID, Name: "azdo-pat", Subject: PipelinesSubject, ClientID: AppID}},
		Vault:              e.defaultVault(refreshToken),
	}
}

// keepWorld remembers the world's credentials for [Emulator.Secrets].
func (e *Emulator) keepWorld() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keepWorldLocked()
}

func (e *Emulator) keepWorldLocked() {
	for _, a := range e.world.Apps {
		a.complete()
	}
	for _, u := range e.world.Users {
		e.keepLocked(u.Password)
	}
	for _, t := range e.world.RefreshTokens {
		e.keepLocked(t.Value)
	}
	for _, s := range e.world.Vault.Secrets {
		for _, v := range s.Versions {
			e.keepLocked(v.Value)
		}
	}
}
