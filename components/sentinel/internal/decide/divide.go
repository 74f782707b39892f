package decide

// Divide shares a budget of events between the woken and the expired: each gets
// half, and what one does not need goes to the other, so that neither starves.
// The odd event goes to the expired if expiredFirst, which the caller alternates.
func Divide(budget, woken, expired int, expiredFirst bool) (forWoken, forExpired int) {
	half, odd := budget/2, budget%2
	forWoken, forExpired = half, half
	if expiredFirst {
		forExpired += odd
	} else {
		forWoken += odd
	}
	if forWoken > woken {
		forWoken, forExpired = woken, budget-woken
	}
	if forExpired > expired {
		forExpired = expired
		forWoken = min(woken, budget-expired)
	}
	return forWoken, forExpired
}
