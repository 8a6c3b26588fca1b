package setup

func (p *plan) powerShell() string { return "" }
