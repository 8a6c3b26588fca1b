$ErrorActionPreference = 'Stop'

# How often a step is tried, and the seconds in between: what was created a moment ago
# is not known everywhere at once, nor is a consent.
$tries = if ($env:SETUP_TRIES) { [int]$env:SETUP_TRIES } else { 24 }
$pause = if ($env:SETUP_PAUSE) { [int]$env:SETUP_PAUSE } else { 5 }
$script:number = 0
$script:changed = $false

function Say([string] $Text) { [Console]::Error.WriteLine($Text) }

# Tell says how a step went, unless things are only looked for.
$script:quiet = $false
function Tell([string] $Text) { if (-not $script:quiet) { Say "   $Text" } }

function Stop-Setup([string] $Text) {
    Say ''
    Say "Stopped: $Text"
    exit 1
}

# Step announces a step, and the role that creating it needs.
function Step([string] $What, [string] $Role) {
    $script:number++
    Say ''
    Say "$($script:number). $What"
    if ($Role) { Say "   Role needed to create it: $Role." }
}

function Get-Status($Problem) { [int]$Problem.Exception.Response.StatusCode }

function Get-Reason($Problem) {
    if ($Problem.ErrorDetails.Message) { $Problem.ErrorDetails.Message } else { $Problem.Exception.Message }
}

# Look returns what the block finds, and nothing for what is not there.
function Look([scriptblock] $Find) {
    try { & $Find } catch { if ((Get-Status $_) -ne 404) { throw } }
}

# Plain returns an id that becomes a part of addresses and of JSON.
function Plain([string] $Value) {
    if ($Value -cnotmatch '\A[A-Za-z0-9 ._@:/+=()-]*\z') { Stop-Setup 'an answer has characters that no id has' }
    $Value
}

# $made are the names of the variables of what this run has created.
$script:made = @()

# Get-Chance says why what failed may succeed later, and nothing if it cannot. It refers to
# the variables with the names Needs. Status 0 is no answer. A refusal in an answer, which
# the script throws itself, has no status.
function Get-Chance($Problem, [string[]] $Needs) {
    $status = Get-Status $Problem
    $thrown = $Problem.Exception -is [System.Management.Automation.RuntimeException]
    if ($status -in 429, 500, 502, 503, 504 -or ($status -eq 0 -and -not $thrown)) { return 'the service is busy, or cannot be reached' }
    if ($status -eq 409) { return 'another change may be under way' }
    if ($status -eq 403) { return 'the consent of an administrator takes up to two minutes to work; otherwise you lack the role' }
    if ($status -ne 401 -and ($Needs | Where-Object { $_ -in $script:made })) { return 'what was created a moment ago may not be known there yet' }
}

# Wait-For says why something is tried again, once for each reason.
$script:waiting = ''
function Wait-For($Problem, [string] $Why) {
    if ($script:waiting -eq $Why) { return }
    $script:waiting = $Why
    Say "   It did not succeed yet: $(Get-Reason $Problem)"
    Say "   Trying again up to $($tries - 1) times, every $pause s: $Why."
}

# Ensure returns what Find finds. If that is nothing, it calls Create, and Find until it
# finds it. Needs are the names of the variables that both refer to, Makes of those that
# will be set.
function Ensure([scriptblock] $Find, [scriptblock] $Create, [string[]] $Needs, [string[]] $Makes) {
    $created = $false
    $problem = $null
    $script:waiting = ''
    for ($attempt = 0; $attempt -lt $tries; $attempt++) {
        if ($attempt -gt 0) { Start-Sleep -Seconds $pause }
        try {
            $found = Look $Find
            if ($found) {
                if ($created) { Tell 'Created.' } else { Tell 'It is there.' }
                return $found
            }
            if (-not $Create) { return }
            if (-not $created) {
                $null = & $Create
                $created = $true
                $script:changed = $true
                $script:made += $Makes
                $found = Look $Find
                if ($found) {
                    Tell 'Created.'
                    return $found
                }
                Tell 'Created; waiting until it is known everywhere.'
            }
        } catch {
            $problem = $_
            if ($created) { continue }
            $why = Get-Chance $problem $Needs
            if (-not $why) { break }
            Wait-For $problem $why
        }
    }
    if ($created) { Stop-Setup 'it was created, but cannot be found yet. Run this script again in a few minutes.' }
    Stop-Setup "this did not succeed: $(Get-Reason $problem)"
}

# Attempt calls the block until it succeeds. What is not there need not be removed.
function Attempt([scriptblock] $Change) {
    $problem = $null
    $script:waiting = ''
    for ($attempt = 0; $attempt -lt $tries; $attempt++) {
        if ($attempt -gt 0) { Start-Sleep -Seconds $pause }
        try {
            $null = Look $Change
            $script:changed = $true
            return
        } catch {
            $problem = $_
            $why = Get-Chance $problem @()
            if (-not $why) { break }
            Wait-For $problem $why
        }
    }
    Stop-Setup "this did not succeed: $(Get-Reason $problem)"
}
