# Find-Subjects returns the subjects that GitHub's tokens have in jobs on the default
# branch. Repositories created, renamed or transferred since 15 July 2026, and those that
# chose so, have the ids of owner and repository in it.
$script:branch = if ($env:SETUP_BRANCH) { $env:SETUP_BRANCH } else { 'main' }
function Find-Subjects([string] $Repository) {
    $full = $Repository
    $owner = $env:SETUP_OWNER_ID
    $number = $env:SETUP_REPOSITORY_ID
    $form = $null
    $known = $null
    if (Get-Command gh -ErrorAction Ignore) {
        $text = gh api "repos/$Repository"
        if ($LASTEXITCODE -eq 0) { $known = ($text -join '') | ConvertFrom-Json }
    }
    if ($known) {
        $full = $known.full_name
        $owner = [string]$known.owner.id
        $number = [string]$known.id
        if (-not $env:SETUP_BRANCH) { $script:branch = $known.default_branch }
        $text = gh api "repos/$Repository/actions/oidc/customization/sub"
        if ($LASTEXITCODE -eq 0) { $form = ($text -join '') | ConvertFrom-Json }
    } else {
        Say ''
        Say "The GitHub CLI (gh) cannot read $Repository, so this takes the branch $($script:branch). For another"
        Say 'one set SETUP_BRANCH. If the subjects have ids, set SETUP_OWNER_ID and'
        Say 'SETUP_REPOSITORY_ID to the numbers of owner and repository. Then run this script again.'
    }
    if ($form -and $form.use_default -eq $false) {
        Stop-Setup 'this repository has a template of its own for subjects. Give the subject as its jobs present it, with --issuer and --subject.'
    }
    if ("$full$owner$number$($script:branch)" -cnotmatch '\A[A-Za-z0-9._/-]*\z') {
        Stop-Setup 'the repository or its branch has unusual characters: give the subject with --issuer and --subject'
    }
    $plain = "repo:$full"
    $ids = ''
    if ($owner -and $number) {
        $parts = $full -split '/'
        $ids = "repo:$($parts[0])@$owner/$($parts[1])@$number"
    }
    # What GitHub says decides. Where it says nothing, or contradicts itself, both forms
    # are made.
    if ($ids -and $form.sub_claim_prefix -ceq $ids -and $form.use_immutable_subject) {
        $plain = ''
    } elseif ($form.sub_claim_prefix -ceq $plain -and -not $form.use_immutable_subject) {
        $ids = ''
    }
    foreach ($prefix in @($plain, $ids)) {
        if ($prefix) { "${prefix}:ref:refs/heads/$($script:branch)" }
    }
}
