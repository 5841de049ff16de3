"""In one process: the units, and the routes by events of API Gateway, with moto and the simulator."""
